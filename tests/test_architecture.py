"""What may import what, and that importing does nothing."""

import subprocess
import sys

import pytest
from conftest import ROOT

WEB = {
    *("auth", "api", "problems", "pages", "app", "login", "desk", "batches", "rollout", "perspective", "coral", "cors"),
    *("metrics", "limits"),
    *("tuning", "dashboard", "erasures"),
}
MODULES = sorted(path.stem for path in (ROOT / "moderation").glob("*.py") if path.stem not in {"__init__", "__main__"})


@pytest.mark.parametrize("module", [name for name in MODULES if name not in WEB])
def test_only_the_web_part_imports_flask(module):
    code = f"import moderation.{module}, sys; sys.exit('flask' in sys.modules or 'werkzeug' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("module", MODULES)
def test_every_module_can_be_imported_first(module):
    """No import cycle shows only when a module happens to come first; and importing prints nothing."""
    done = subprocess.run(
        [sys.executable, "-c", f"import moderation.{module}"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_serving_does_without_the_training_part():
    """And so without the memory of what only training needs, also once it has scored."""
    code = """
import sys
from pathlib import Path
import moderation.app, moderation.cli, moderation.server
from moderation import registry
from moderation.comments import Article, Comment
from moderation.scorer import Scorer
scorer = Scorer(registry.load(Path("models"), "default"))
comment = Comment("You are an idiot", "c", Article("A bridge", "It is old."), "Why?", ("So it is.", "Is it?"))
assert scorer.score([comment])[0].labels["off_topic"].score is not None
print(*(name for name in ("matplotlib", "pandas", "scipy", "sklearn", "moderation.training") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("\n", "")
