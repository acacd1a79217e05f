"""Which of several equal passages is kept depends on the files alone, not on the order in which they came and went."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from keyword_rows import keyword_rows

from loaders.catalog import Catalog, SourceState
from loaders.changes import Changes, rebuild_keywords, remove_source, replace_source, settle
from loaders.duplicates import exact_key, in_context, is_near, signature
from loaders.entries import Drop, Entry
from loaders.keywords import miscounted

SENTENCES = [
    f"The {noun} stands in the {place} and waits there for a while."
    for noun in ("car", "boat")
    for place in ("yard", "field", "old harbour by the sea", "long street that leads to the market")
]
TEXTS = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=6).map(" ".join)
FILES = st.lists(st.tuples(st.sampled_from("abcdef"), st.lists(TEXTS, max_size=5)), min_size=1, max_size=12)
LEAST = 0.6
bands_of, near = cache(signature), cache(is_near)  # pure, and asked of the same few texts after every change


def entries(source: str, texts: list[str]) -> list[Entry]:
    return [
        Entry(
            f"{source} {text} {texts[:n].count(text)}",
            None,
            1,
            "",
            n,
            text,
            text,
            exact_key(in_context("", text)),
            tuple(bands_of(in_context("", text))),
        )
        for n, text in enumerate(texts)
    ]


def by_hand(files: dict[str, list[str]], least: float) -> dict[str, str | None]:
    """Return id → keeper, found by comparing everything with everything."""
    kept: list[Entry] = []
    keepers: dict[str, str | None] = {}
    for entry in (entry for source in sorted(files) for entry in entries(source, files[source])):
        alike = [
            k
            for k in kept
            if k.exact == entry.exact
            or (
                least < 1
                and set(k.bands) & set(entry.bands)
                and near(in_context("", k.text), in_context("", entry.text), least)
            )
        ]
        keepers[entry.id] = alike[0].id if least and alike else None
        if keepers[entry.id] is None:
            kept.append(entry)
    return keepers


@settings(max_examples=60)
@given(history=FILES, least=st.sampled_from([0, LEAST, 1]))
def test_any_history_ends_as_if_the_files_had_come_in_order(history: list[tuple[str, list[str]]], least: float) -> None:
    files: dict[str, list[str]] = {}
    searched: set[str] = set()
    with TemporaryDirectory() as place:
        catalog = Catalog(Path(place) / "catalog.sqlite")
        for source, texts in history:
            changes = Changes()
            with catalog.transaction():
                if texts:
                    replace_source(catalog, SourceState(source, 1, 1, 1, ""), entries(source, texts), [], changes)
                else:
                    remove_source(catalog, source, changes)
                settle(catalog, least, changes)
            files |= {source: texts}
            assert not changes.gone & changes.new.keys()
            assert changes.gone <= searched
            searched = searched - changes.gone | changes.new.keys()
            sql = "SELECT c.id, k.id FROM chunks c LEFT JOIN chunks k ON k.rowid = c.kept_by"
            keepers = dict(catalog.rows(sql))
            assert keepers == by_hand(files, least)
            assert searched == set(catalog.chunk_ids()) == {id_ for id_, keeper in keepers.items() if keeper is None}
            words, spelt = keyword_rows(catalog.connection), catalog.dictionary()
            assert words.keys() == {row[0] for row in catalog.rows("SELECT rowid FROM chunks WHERE kept_by IS NULL")}
            assert miscounted(catalog.connection) == 0
        rebuild_keywords(catalog)
        assert (keyword_rows(catalog.connection), catalog.dictionary()) == (words, spelt)
        catalog.close()


def test_what_was_dropped_is_listed_with_its_reason_until_the_file_changes(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.sqlite")
    state = SourceState("a", 1, 1, 1, "")
    replace_source(catalog, state, entries("a", SENTENCES[:1] * 2), [Drop(3, 7, "page number", "3")], Changes())
    changes = Changes(unsettled={row[0] for row in catalog.rows("SELECT rowid FROM chunks")})
    settle(catalog, 1, changes)
    assert catalog.drops() == [
        ("a", Drop(3, 7, "page number", "3")),
        ("a", Drop(None, 1, "the same as in a, character 0", SENTENCES[0])),
    ]
    replace_source(catalog, state, [], [], Changes())
    assert catalog.drops() == []
    catalog.close()
