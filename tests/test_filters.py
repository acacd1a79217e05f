"""Filters: what they may say; that what they forbid never comes out of either leg, and what they allow does."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chains.retrieval import HybridRetriever
from errors import QuestionError
from loaders.catalog import SourceState
from loaders.changes import Changes, replace_source, settle
from loaders.entries import Entry
from loaders.filters import Filter, parse_filter, resolve
from loaders.store import Store, Vectors

DAYS = ("2026-01-01", "2026-02-01", "2026-03-01")
SIZE = 8


@dataclass(frozen=True)
class File:
    """A source of the small world that is searched here, with what its chunks say."""

    source: str
    day: str
    language: str
    fields: dict[str, tuple[str, ...]]
    texts: tuple[str, ...]


def world() -> list[File]:
    random = np.random.default_rng(7)
    made = []
    for number in range(24):
        folder, suffix = ("docs", "docs/old", "mail")[number % 3], ("md", "txt", "pdf")[number // 3 % 3]
        shared = [f"text that several files share {n}" for n in random.choice(12, 3, replace=False)]
        own = [f"text of file {number} alone {n}" for n in range(2)]
        fields = {"team": (("red", "blue")[number % 2],), "tag": ("a",) if number % 5 else ("a", "b")}
        source = str(Path.cwd() / folder / f"{number:02d}.{suffix}")
        day = DAYS[int(random.integers(3))]
        made.append(File(source, day, ("en", "de", "")[int(random.integers(3))], fields, (*shared, *own)))
    return made


WORLD = world()


def vector_of(text: str) -> np.ndarray:
    made = np.random.default_rng(list(text.encode())).standard_normal(SIZE)
    return np.asarray(made / np.linalg.norm(made), dtype=np.float32)


def add(store: Store, files: list[File]) -> None:
    vectors: Vectors = {}

    def edit(changes: Changes) -> Vectors:
        for file in files:
            ids = {f"{file.source}#{n}": text for n, text in enumerate(file.texts)}
            vectors.update({id_: vector_of(text) for id_, text in ids.items()})
            entries = [Entry(id_, None, 1, "", 0, text, text, text, ()) for id_, text in ids.items()]
            moment = int(datetime.fromisoformat(f"{file.day}T12:00").timestamp() * 1e9)
            state = SourceState(file.source, 1, moment, 1, "0", language=file.language)
            replace_source(store.catalog, state, entries, [], changes)
            store.catalog.write_fields(file.source, file.fields)
        settle(store.catalog, 1.0, changes)
        store.catalog.add_vectors({text: vector_of(text) for file in files for text in file.texts})
        return {id_: vectors[id_] for id_ in changes.new}

    with store.changing() as change:
        change(edit)


@pytest.fixture(scope="module", params=["hnsw", "exact", "pq"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("store"), kind=request.param)
    add(store, WORLD)
    yield store
    store.close()


def allows(wanted: Filter, file: File) -> bool:
    """Say again, in another way, what a filter of this file's tests means."""
    stem = Path(file.source).relative_to(Path.cwd()).as_posix()
    globs = {
        "docs/*": stem.startswith("docs/") and stem.count("/") == 1,
        "docs/**": stem.startswith("docs/"),
        "mail": stem.startswith("mail/"),
        "0?.*": Path(stem).name.startswith("0"),
    }
    day = datetime.fromisoformat(f"{file.day}T12:00").astimezone()
    return (
        (not wanted.sources or any(globs[glob] for glob in wanted.sources))
        and (not wanted.suffixes or Path(stem).suffix in wanted.suffixes)
        and (wanted.since is None or day >= wanted.since)
        and (wanted.until is None or day < wanted.until)
        and (not wanted.languages or file.language in wanted.languages)
        and all(any((key, value) in wanted.fields for value in file.fields.get(key, ())) for key in dict(wanted.fields))
    )


def some_of(*values: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), unique=True, max_size=2)


FILTERS = st.builds(
    lambda sources, suffixes, since, until, languages, fields: parse_filter(
        sources=sources, suffixes=suffixes, since=since, until=until, languages=languages, fields=fields
    ),
    some_of("docs/*", "docs/**", "mail", "0?.*"),
    some_of("md", ".TXT", "pdf"),
    st.sampled_from(["", *DAYS[:2]]),
    st.sampled_from(["", *DAYS[1:]]),
    some_of("en", "de"),
    some_of("team=red", "team=Blue", "tag=b", "tag=none"),
).filter(lambda found: found is not None)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wanted=FILTERS, query=st.sampled_from([*WORLD[0].texts, "several", "alone 1"]), limit=st.sampled_from([1, 5, 99])
)
def test_what_is_forbidden_never_comes_back_and_what_is_allowed_does(
    store: Store, wanted: Filter, query: str, limit: int
) -> None:
    files = {file.source: file for file in WORLD if allows(wanted, file)}
    texts = {text for file in files.values() for text in file.texts}
    vector = vector_of(query).tolist()
    for hits in (store.dense(vector, limit, wanted), store.keyword("text", limit, wanted)):
        passages = store.chunks([id_ for id_, _ in hits], wanted)
        assert len(passages) == len(hits) == min(limit, len(texts))
        for passage in passages:
            assert passage.page_content in files[passage.metadata["source"]].texts
            others = {s for s, file in files.items() if passage.page_content in file.texts}
            assert set(passage.metadata["also_in"]) == others - {passage.metadata["source"]}
        assert len({passage.page_content for passage in passages}) == len(hits)
    best = sorted((float(vector_of(text) @ vector_of(query)) for text in texts), reverse=True)[:limit]
    assert [score for _, score in store.dense(vector, limit, wanted)] == pytest.approx(best, abs=1e-5)
    retriever = HybridRetriever(
        embed=lambda asked: vector_of(asked).tolist(),
        nearest=lambda asked, count: store.dense(asked, count, wanted),
        keyword=lambda asked, count: store.keyword(asked, count, wanted),
        vectors=store.vectors_of,
        fetch=lambda ids: store.chunks(ids, wanted),
        limit=limit,
    )
    found = retriever.invoke(query)
    assert len(found) == min(limit, len(texts))
    assert {passage.metadata["source"] for passage in found} <= files.keys()


def test_without_a_filter_nothing_changes(store: Store) -> None:
    vector = vector_of("anything").tolist()
    everything = parse_filter(since="1999-01-01")
    assert everything is not None
    assert resolve(store.catalog, everything) is None
    assert store.dense(vector, 99, everything) == store.dense(vector, 99) == store.dense(vector, 99, None)
    assert store.keyword("text", 99, everything) == store.keyword("text", 99)


def test_a_filter_sees_what_was_added_after_it_was_first_used(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / "store", kind="exact"), parse_filter(fields=["team=red"])
    add(store, WORLD[:3])
    before = len(store.keyword("text", 99, wanted))
    add(store, WORLD[3:9])
    assert len(store.keyword("text", 99, wanted)) > before
    store.close()


@pytest.mark.parametrize(
    ("glob", "source", "fits"),
    [
        ("*.md", "/a/b/c.md", True),
        ("c.md", "/a/b/c.md", True),
        ("/a/b/*.md", "/a/b/c.md", True),
        ("/a/*.md", "/a/b/c.md", False),
        ("/a/**/*.md", "/a/b/c.md", True),
        ("/a/**/*.md", "/a/c.md", True),
        ("/a/**", "/a/b/c.md", True),
        ("**/b/*", "/a/b/c.md", True),
        ("/a/b", "/a/b/c.md", True),
        ("/a/b/", "/a/b/c.md", True),
        ("/a/b", "/a/bc.md", False),
        ("b", "/a/b/c.md", False),
        ("?.md", "/a/b/c.md", True),
        ("[a-c].md", "/a/b/c.md", True),
        ("[!c].md", "/a/b/c.md", False),
        ("[].md", "/a/b/[].md", True),
        ("c.m", "/a/b/c.md", False),
        ("c+d(1).md", "/a/b/c+d(1).md", True),
        ("https://example.org/**", "https://example.org/a/b", True),
        ("notes/*.md", str(Path.cwd() / "notes" / "x.md"), True),
        ("./notes/*.md", str(Path.cwd() / "notes" / "x.md"), True),
        ("notes", str(Path.cwd() / "notes" / "deep" / "x.md"), True),
        ("C.md", "/a/b/c.md", False),
    ],
)
def test_globs(glob: str, source: str, fits: bool, tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / "store", kind="exact"), parse_filter(sources=[glob])
    add(store, [File(source, DAYS[0], "", {}, ("text",)), File("/elsewhere/other.x", DAYS[0], "", {}, ("text",))])
    found = store.chunks([id_ for id_, _ in store.keyword("text", 9, wanted)], wanted)
    assert [(passage.metadata["source"], passage.metadata["also_in"]) for passage in found] == [(source, [])] * fits
    store.close()


@pytest.mark.parametrize(
    "given_",
    [
        {"sources": [""]},
        {"sources": ["[z-a]"]},
        {"suffixes": ["a b"]},
        {"suffixes": [""]},
        {"since": "yesterday"},
        {"until": "2026-02-30"},
        {"since": "0001-01-01", "until": "0000-01-01"},
        {"since": "2026-02-01", "until": "2026-01-01"},
        {"languages": ["german"]},
        {"languages": [""]},
        {"fields": ["team"]},
        {"fields": ["=red"]},
        {"fields": ["team="]},
    ],
)
def test_what_can_not_be_meant_is_one_line(given_: dict[str, list[str]]) -> None:
    with pytest.raises(QuestionError) as caught:
        parse_filter(**given_)  # type: ignore[arg-type]
    assert str(caught.value).startswith("--")
    assert "\n" not in str(caught.value)


def test_a_filter_is_typed() -> None:
    found = parse_filter(
        suffixes=["MD", ".tar.gz"],
        since="2026-01-01T06:00+00:00",
        until="2026-01-02",
        languages=["de-AT", "EN"],
        fields=["Team = The  Reds", "a=b=c"],
    )
    assert found == Filter(
        suffixes=(".md", ".tar.gz"),
        since=datetime.fromisoformat("2026-01-01T06:00+00:00"),
        until=datetime.fromisoformat("2026-01-03").astimezone(),
        languages=("de", "en"),
        fields=(("team", "the reds"), ("a", "b=c")),
    )
    assert parse_filter() is None
