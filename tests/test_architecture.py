"""The shape of the house: who imports whom, who prints, what is declared, how long things are."""

import ast
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("chains", "evaluation", "hub", "inference", "loaders", "prompts", "serving", "surveys", "training")
TOP = sorted(path.stem for path in ROOT.glob("*.py"))
OURS = {*PACKAGES, *TOP}
FILES = sorted([*ROOT.glob("*.py"), *(file for package in PACKAGES for file in (ROOT / package).glob("**/*.py"))])
CORE = {
    "main",
    "capacity",
    "inventory",
    "evaluations",
    "experiments",
    "finetuning",
    "finetuning_search",
    "whole",
    "options",
    "terminal",
    "tables",
    "ingestion",
    "pipeline",
    "chat_models",
    "remembering",
    "searching",
    "explaining",
    "remedies",
    "settings",
    "errors",
    "models",
    "health",
    "privacy",
    "startup",
    "harmless",
    "hashes",
    "sentences",
    "words",
} | {
    "hub",
    "loaders",
    "chains",
    "inference",
    "prompts",
}
# module or package → what of ours it may import besides itself
MAY_IMPORT = {
    "errors": set(),
    "privacy": set(),
    "startup": set(),
    "harmless": set(),
    "hashes": set(),
    "hub": {"errors", "hashes"},
    "sentences": set(),
    "words": set(),
    "settings": {"privacy", "errors"},
    "models": {"errors", "hashes", "hub"},
    "inventory": {"errors", "hashes", "hub", "inference", "models"},
    "loaders": {"errors", "privacy", "sentences", "words"},
    "chains": {"errors", "privacy", "harmless", "sentences", "words"},
    "inference": {"errors", "privacy", "harmless", "hashes"},
    "prompts": {"errors", "privacy", "sentences", "words"},
    "chat_models": {"inference", "hub", "models", "settings", "errors"},
    "remembering": {"loaders", "chains", "settings"},
    "searching": {"models", "inference", "loaders", "chains", "prompts", "settings", "errors"},
    "remedies": {"searching", "loaders", "chains", "settings"},
    "explaining": {"remedies", "loaders", "chains", "words"},
    "pipeline": {"searching", "chat_models", "loaders", "chains", "prompts", "models", "settings", "errors"},
    "surveys": {
        "pipeline",
        "chat_models",
        "searching",
        "loaders",
        "chains",
        "prompts",
        "settings",
        "errors",
        "sentences",
        "words",
    },
    "ingestion": {"pipeline", "loaders", "settings", "errors"},
    "health": {"ingestion", "pipeline", "chat_models", "inference", "loaders", "hashes", "settings", "errors"},
    "evaluation": {
        "ingestion",
        "pipeline",
        "chat_models",
        "inference",
        "searching",
        "loaders",
        "chains",
        "hashes",
        "settings",
        "errors",
        "prompts",
        "sentences",
        "words",
    },
    "serving": {"pipeline", "remembering", "chat_models", "searching", "loaders", "chains", "settings", "errors"},
    "training": {
        "ingestion",
        "pipeline",
        "chat_models",
        "models",
        "inference",
        "loaders",
        "prompts",
        "hashes",
        "searching",
        "chains",
        "settings",
        "errors",
        "words",
    },
    "terminal": {"chains", "loaders", "surveys"},
    "tables": {"terminal", "chains"},
    "evaluations": {"evaluation", "options", "tables", "terminal", "settings", "errors"},
    "experiments": {"evaluations", "evaluation", "training", "inference", "options", "tables", "terminal", "settings"},
    "finetuning_search": {"evaluations", "training", "options", "tables", "terminal", "settings"},
    "finetuning": {
        "finetuning_search",
        "evaluations",
        "experiments",
        "training",
        "options",
        "tables",
        "terminal",
        "settings",
    },
    "whole": {"evaluations", "surveys", "pipeline", "loaders", "options", "terminal", "settings"},
    "options": {"loaders"},
    "capacity": {
        "chat_models",
        "errors",
        "experiments",
        "inference",
        "hub",
        "inventory",
        "options",
        "tables",
        "terminal",
        "settings",
    },
    "main": OURS - {"main"},
}
TOO_LONG: set[str] = set()  # files over the limit that wait to be split
ids = [str(path.relative_to(ROOT)) for path in FILES]


def part(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Yield every module that a file names in an import, wherever it stands; relative ones in full."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"{part(path)}.{node.module or ''}" if node.level else node.module or ""


def called(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_imports_point_one_way(path: Path) -> None:
    found = {module.partition(".")[0] for module in imported(path)} & OURS
    assert found - {part(path)} <= MAY_IMPORT[part(path)]


def test_every_part_has_its_directions() -> None:
    assert MAY_IMPORT.keys() == OURS


def test_langchain_community_is_imported_in_one_file() -> None:
    users = {str(f.relative_to(ROOT)) for f in FILES if any(m.startswith("langchain_community") for m in imported(f))}
    assert users == {"loaders/formats/community.py"}


@pytest.mark.parametrize(
    "path", [file for file in FILES if part(file) not in ("main", "terminal", "tables")], ids=lambda path: path.name
)
def test_only_main_and_what_it_prints_with_print_and_exit(path: Path) -> None:
    forbidden = {"print", "exit", "quit", "sys.exit", "os._exit", "input", "sys.stdout.write", "sys.stderr.write"}
    assert not forbidden & set(called(path))
    assert "rich" not in {module.partition(".")[0] for module in imported(path)}
    commands = (
        "options.py",
        "capacity.py",
        "evaluations.py",
        "experiments.py",
        "finetuning.py",
        "finetuning_search.py",
        "whole.py",
    )
    assert path.name in commands or "typer" not in {module.partition(".")[0] for module in imported(path)}


def test_settings_are_constructed_in_one_function() -> None:
    users = {str(f.relative_to(ROOT)) for f in FILES for call in called(f) if call in ("Settings", "settings.Settings")}
    assert users == {"settings.py"}
    loaders = {part(f) for f in FILES for call in called(f) if call.rpartition(".")[2] == "load_settings"}
    assert loaders <= {"main", "capacity", "evaluations", "experiments", "finetuning", "finetuning_search", "whole"}


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_no_module_is_too_long_to_read_at_a_sitting(path: Path) -> None:
    name, lines = str(path.relative_to(ROOT)), len(path.read_text(encoding="utf-8").splitlines())
    limit = {"main.py": 360, "settings.py": 360}.get(name, 260)  # lists: of commands, of knobs
    assert lines <= limit or name in TOO_LONG


def test_the_core_can_be_read_in_an_afternoon() -> None:
    # a file a format; the web; and what a server of models does as well (RAG_MODEL_URL): nobody reads all of them
    apart = {"loaders/formats": 3500, "loaders/web": 1000, "inference": 2500, "hub": 450}
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    for folder, limit in apart.items():
        assert sum(lines for path, lines in lengths.items() if path.is_relative_to(folder)) <= limit
    core = [path for path in lengths if part(ROOT / path) in CORE and not any(path.is_relative_to(f) for f in apart)]
    assert sum(lengths[path] for path in core) <= 11600


@pytest.mark.parametrize("path", [f for f in FILES if f.name != "__init__.py"], ids=lambda path: path.name)
def test_every_module_opens_with_what_it_is_for(path: Path) -> None:
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert doc
    assert doc.split("\n\n")[0].rstrip().endswith((".", ":"))


def test_pyproject_lists_exactly_the_modules_that_exist() -> None:
    listed = PROJECT["tool"]["setuptools"]
    assert sorted(listed["py-modules"]) == TOP
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert {name.partition(".")[0] for name in listed["packages"]} == found == set(PACKAGES)
    inner = {".".join(path.parent.relative_to(ROOT).parts) for path in ROOT.glob("[a-z]*/**/__init__.py")}
    assert set(listed["packages"]) == {name for name in inner if name.partition(".")[0] in PACKAGES}
    assert set(PROJECT["tool"]["ruff"]["lint"]["isort"]["known-first-party"]) == OURS
    assert set(listed["package-data"]) == {"prompts", "evaluation", "training"}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower().replace("_", "-") for line in requirements}


def test_every_import_is_a_declared_dependency() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    declared = names(PROJECT["project"]["dependencies"]) | names(extras["ocr"]) | names(extras["pq"])
    declared |= names(extras["training"])
    providers = packages_distributions()
    undeclared = {}
    for path in FILES:
        for module in {module.partition(".")[0] for module in imported(path)}:
            if module in OURS or module in sys.stdlib_module_names:
                continue
            dists = {name.lower().replace("_", "-") for name in providers.get(module, [])}
            if not dists & declared:
                undeclared[module] = str(path.relative_to(ROOT))
    assert undeclared == {}


def test_every_import_of_the_tests_is_declared_too() -> None:
    declared = names(PROJECT["project"]["dependencies"]) | names(PROJECT["project"]["optional-dependencies"]["test"])
    providers = packages_distributions()
    local = {path.stem for path in (ROOT / "tests").glob("*.py")}
    for path in (ROOT / "tests").glob("*.py"):
        for module in {module.partition(".")[0] for module in imported(path)}:
            if module in OURS | local | sys.stdlib_module_names | {"tests"}:
                continue
            dists = {name.lower().replace("_", "-") for name in providers.get(module, [])}
            assert dists & declared, f"{path.name} imports {module}"


def test_every_dependency_has_a_lower_bound_and_a_pin() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["test"], *extras["notebooks"]]
    assert [line for line in wanted if ">=" not in line] == []
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] not in "# "]
    assert [line for line in pins if "==" not in line] == []
    assert names(wanted) - names(pins) == set()


def test_no_installed_package_takes_one_of_our_names() -> None:
    providers = packages_distributions()
    for name in OURS:
        assert {owner for owner in providers.get(name, []) if owner != "groundwork"} == set(), name
        assert name not in sys.stdlib_module_names
    site = Path(sysconfig.get_paths()["purelib"])
    assert [name for name in OURS if (site / name).exists() or (site / f"{name}.py").exists()] == []


def tracked() -> list[Path]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git clone: what is tracked can't be told")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def texts() -> Iterator[tuple[str, str]]:
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data:
            yield str(path.relative_to(ROOT)), data.decode("utf-8", "replace")


def test_no_tracked_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    # put together here, so that this file does not hold them itself
    paths = [f"/{name}/" for name in ("work", "root")] + ["/tmp" + "/w/", "/home" + "/user"]
    pattern = re.compile(r"(?<![\w.\-])(?:" + "|".join(map(re.escape, paths)) + ")")
    found = {name: match.group() for name, text in texts() if (match := pattern.search(text))}
    assert found == {}


def index_hosts() -> set[str]:
    """Return the hosts of the package indexes that pip uses here."""
    pip = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    urls = re.findall(r"https?://[^\s'\"]+", pip)
    return {host for url in urls if (host := urlsplit(url).hostname)} - {"localhost", "127.0.0.1"}


def test_no_tracked_file_names_a_registry_of_this_machine() -> None:
    hosts = index_hosts()
    assert {(name, host) for name, text in texts() for host in hosts if host in text} == set()


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml", "Makefile", ".ci/run"])
def test_the_installation_names_no_host(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"https?://|--(?:extra-)?index-url|--find-links|--trusted-host", text)


def test_no_top_level_folder_shadows_a_package_that_others_install() -> None:
    assert not {"datasets", "evaluate", "test", "examples"} & {path.name for path in ROOT.iterdir()}
