import re
import subprocess
import sys
from pathlib import Path

import pytest

from settings import PREFIX, ROOT, Settings

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAP = README.split("## The map")[1].split("###")[0]


def mapped_paths() -> list[str]:
    folder, paths = "", []
    for line in MAP.splitlines():
        if found := re.match(r"^    (  )?([\w.-]+(?:/[\w.-]+)*/?)\s{2,}\S", line):
            inside, name = found.groups()
            folder = folder if inside else name if name.endswith("/") else ""
            paths.append(folder + name if inside else name)
    return paths


def test_every_path_of_the_map_exists():
    missing = [path for path in mapped_paths() if not (ROOT / path).exists()]
    assert len(mapped_paths()) > 40
    assert missing == []


def test_every_module_is_on_the_map():
    folders = ("", "loaders", "chains", "evaluation", "training")
    modules = [path for folder in folders for path in (ROOT / folder).glob("*.py") if path.name != "__init__.py"]
    assert [str(p.relative_to(ROOT)) for p in modules if str(p.relative_to(ROOT)) not in mapped_paths()] == []


def test_every_file_named_in_backticks_exists():
    named = re.findall(r"`((?:[\w-]+/)*[\w.-]+\.(?:py|txt|md|toml|example)|LICENSE)`", README)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_settings_table_equals_settings():
    rows = dict(re.findall(rf"^\| `({PREFIX}\w+)` \| `?([^|`]*)`? \|", README, re.MULTILINE))
    expected = {f"{PREFIX}{name}".upper(): field.default for name, field in Settings.model_fields.items()}
    shown = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in expected.items()}
    assert {key: value.strip() for key, value in rows.items()} == shown


@pytest.mark.parametrize("command", sorted(set(re.findall(r"main\.py ((?:(?:evaluate|train) )?[a-z-]+)", README))))
def test_every_command_exists(command):
    run = subprocess.run(
        [sys.executable, "main.py", *command.split(), "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_every_make_target_exists():
    targets = set(re.findall(r"(?:`|^    |\" )make ([a-z-]+)", README, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"demo", "test", "setup"} <= targets
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_demo_asks_the_first_question_of_the_sample():
    import json

    first = json.loads((ROOT / "data/sample/questions.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first["question"] in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_constraints_pin_versions_and_name_no_host():
    lines = [line for line in Path(ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[\w.!]+", line) for line in lines)
