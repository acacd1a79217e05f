"""Files are read in workers that a hostile one can't break, starve, hang or use to reach the network."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loaders.parsing import Cutting, Limits, Parsed, Parser, parse


def count_words(text: str) -> int:
    """Count, and do what the text says: a stand-in for a reader that a hostile file has taken over."""
    if "HANG" in text:
        time.sleep(99)
    if "SPIN" in text:
        while True:
            pass
    if "HOARD" in text:
        return len(bytearray(3_000_000_000))
    if "CRASH" in text:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "PHONE" in text:
        socket.create_connection(("127.0.0.1", 9))
    return len(text.split())


CUTTING = Cutting(count_words, 40, 8)


def read(folder: Path, text: str, limits: Limits) -> list[Parsed]:
    """Return what a bad file gives, and a good one on each side of it."""
    paths = []
    for number, content in enumerate(("before", text, "after")):
        paths.append(folder / f"{number}.txt")
        paths[-1].write_text(content)
    with Parser(CUTTING, workers=1, limits=limits) as parser:
        return list(parser.parse_all([(str(path), path) for path in paths]))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("HANG", "more than 3 s: raise RAG_PARSE_SECONDS"),
        ("HOARD", "more than 2000 MB of memory: raise RAG_PARSE_MEMORY"),
        ("CRASH", "its reader crashed"),
    ],
)
def test_a_file_that_misbehaves_fails_alone(text: str, reason: str, tmp_path: Path) -> None:
    before, bad, after = read(tmp_path, text, Limits(seconds=3))
    assert (before.failure, after.failure) == ("", "")
    assert [entry.text for entry in after.entries] == ["after"]
    assert reason in bad.failure


def test_a_worker_has_no_network(tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match="tried to use the network"):
        read(tmp_path, "PHONE", Limits())


def test_a_reader_s_cpu_time_is_bounded_even_when_nobody_waits_for_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from test_parsing import CUTTING\n"
        "from loaders.parsing import Limits, _parse_here, _start_worker\n"
        "_start_worker(CUTTING, Limits(seconds=1))\n"
        "_parse_here('x', Path(sys.argv[2]))\n"
    )
    path = tmp_path / "spin.txt"
    path.write_text("SPIN")
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(path)]
    assert subprocess.run(command, timeout=60, check=False).returncode == -signal.SIGXCPU


def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import os, signal, time\n"
        "from pathlib import Path\n"
        "from test_parsing import CUTTING\n"
        "from loaders.parsing import Parser\n"
        "if __name__ == '__main__':\n"
        "    parser = Parser(CUTTING, workers=1)\n"
        "    path = Path(sys.argv[2])\n"
        "    list(parser.parse_all([('x', path)]))\n"
        "    print(*[p.pid for p in __import__('multiprocessing').active_children()], flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (tmp_path / "a.txt").write_text("words")
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "a.txt")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    workers = [int(pid) for pid in done.stdout.split()]
    assert workers, done.stderr
    for _ in range(100):
        alive = [pid for pid in workers if Path(f"/proc/{pid}").exists()]
        if not alive:
            return
        time.sleep(0.1)
    pytest.fail(f"still running: {alive}")


def test_results_come_in_the_order_of_the_files(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.txt" for number in range(60)]
    for number, path in enumerate(paths):
        path.write_text("words " * (60 - number) * 30)
    with Parser(CUTTING, workers=2) as parser:
        found = list(parser.parse_all([(str(path), path) for path in paths]))
    assert [parsed.entries[0].id for parsed in found] == [parse(str(p), p, CUTTING).entries[0].id for p in paths]
    assert parser.parse_all([]) is not None


def test_what_is_dropped_is_told_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "rule.txt"
    path.write_text("-" * 300)
    parsed = parse("rule", path, CUTTING)
    assert parsed.entries == ()
    assert [drop.reason for drop in parsed.drops] == ["no letters or digits"]
    assert "--dropped" in parsed.failure


def test_a_chunk_is_named_after_its_source_not_its_file(tmp_path: Path) -> None:
    path = tmp_path / "0f3a.txt"
    path.write_text("The ferry leaves at seven.")
    one, two = (
        parse(source, path, CUTTING).entries[0] for source in ("https://a.example/boats", "https://b.example/x")
    )
    assert one.id != two.id
    assert one.exact == two.exact
    assert one.vector_key != two.vector_key
