"""The README says what is there: every setting, every option, every command."""

import sys

import click
import pytest
from conftest import ROOT

from moderation.cli import main
from moderation.settings import Settings

sys.path.insert(0, str(ROOT))
from benchmarks.readme import updated  # noqa: E402

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name):
    field = Settings.model_fields[name]
    extra = field.json_schema_extra or {}
    default = extra.get("shown", "" if field.default is None else str(field.default))
    row = f"| `MODERATION_{name.upper()}` | {f'`{default}`' if default else ''} | {field.description} |"
    assert row in README


def _commands(group, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize(("path", "command"), list(_commands(main)), ids=lambda value: str(value)[:30])
def test_every_command_and_option_is_documented(path, command):
    assert f"`{' '.join(path)}" in README
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert f"`{parameter.opts[0]}" in README, parameter.opts[0]
        assert isinstance(parameter, click.Argument) or parameter.help


def test_the_figures_are_those_of_the_shipped_model(scorer):
    assert updated(README, scorer) == README, "run: python -m benchmarks.readme"
