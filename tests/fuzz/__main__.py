"""Coverage-guided fuzzing of one property of `properties.ALL`, with atheris (see CONTRIBUTING.md).

    python tests/fuzz normal -max_total_time=600 FOLDER

What follows the name goes to libFuzzer; FOLDER keeps the inputs that reached something new. An input that fails is
written to `crash-…` in the working folder: put it into `tests/fuzz/cases/NAME/`, where the ordinary tests find it.
"""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
atheris.enabled_hooks.add("str")  # "RegEx" cannot begin a search within a text, as moderation.markup does
with atheris.instrument_imports(include=["moderation", "html", "csv", "json"]):
    import properties

name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
if name not in properties.ALL:
    sys.exit(f"Say what to fuzz: {', '.join(properties.ALL)}")
cases = Path(__file__).parent / "cases" / name
atheris.Setup([*sys.argv, str(cases), "-timeout=20", "-max_len=4096"], properties.ALL[name])
atheris.Fuzz()
