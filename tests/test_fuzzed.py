"""What fuzzing (tests/fuzz) found, and a little more of the same on every run."""

from pathlib import Path

import pytest
from fuzz.properties import ALL
from hypothesis import given, settings
from hypothesis import strategies as st

CASES = sorted(path for path in (Path(__file__).parent / "fuzz" / "cases").glob("*/*"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_kept_cases_hold(case):
    ALL[case.parent.name](case.read_bytes())


PARTS = {
    "normal": [
        "@",
        "http://",
        ".",
        "*",
        "0",
        "i d i o t",
        "\u0301",
        "\u200b",
        "ѕ",
        "\n",
        " ",
        "a",
        "f**k",
        "é",
        "_",
        "ſ",
    ],
    "markup": [
        "<",
        ">",
        "</",
        "<!--",
        "-->",
        "&",
        "#x",
        "1114112",
        ";",
        "script",
        "title",
        "=",
        "'",
        '"',
        "\n",
        "a",
        "amp",
    ],
    "rows": [
        '"',
        ",",
        "\n",
        "\r",
        "id",
        "text",
        "abusive",
        "0",
        "1",
        "nan",
        "{",
        "}",
        ":",
        "[",
        "\ufeff",
        "\0",
        "e999",
        " ",
    ],
}


@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_properties_hold_of_soup(name, data):
    soup = data.draw(st.lists(st.one_of(st.sampled_from(PARTS[name]), st.text(max_size=4)), max_size=40))
    head = "\0\1"[data.draw(st.integers(0, 1))] if name == "rows" else ""
    ALL[name]((head + "".join(soup)).encode())
