"""What a question may be answered from, as its asker wrote it, comes in; the chunks that this allows go out."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from errors import QuestionError
from loaders.catalog import Catalog, batches
from loaders.fields import comparable

SUFFIX = re.compile(r"\.?[^\s./\\]+(\.[^\s./\\]+)*")
LANGUAGE = re.compile(r"([a-z]{2,3})([-_]\w+)*", re.IGNORECASE)
WILD = re.compile(r"\*\*/|\*\*|\*|\?|\[!?[^\]]+\]")
MEANING = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True)
class Filter:
    """Allow sources by their metadata: all kinds of condition must hold, and of each kind any of its values.

    sources: globs. suffixes: with their dot, in lower case. since, until: when the file was modified, `until` itself
    excluded. languages: ISO 639 codes. fields: pairs of key and value; each key that is named must hold.
    """

    sources: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    languages: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Allowed:
    """What a Filter allows: sources, rows of the searched chunks, and by their ids the chunk to show for each.

    A chunk that is searched may stand for copies in other sources; where its own source is not allowed, the first copy
    of one that is allowed is shown, so that nothing of the other source ever comes out.
    """

    sources: frozenset[str]
    rows: frozenset[int]
    shown: dict[str, str]


def parse_filter(
    sources: Sequence[str] | None = None,
    suffixes: Sequence[str] | None = None,
    since: str = "",
    until: str = "",
    languages: Sequence[str] | None = None,
    fields: Sequence[str] | None = None,
) -> Filter | None:
    """Return the filter, or None where nothing is asked for; raise QuestionError for what can't be meant.

    Dates are ISO 8601, of this machine's time zone if they name none; a day is meant whole. Fields are KEY=VALUE.
    """
    first, last = (_moment(name, value) for name, value in (("since", since), ("until", until)))
    if first and last and first >= last:
        raise QuestionError(f"--since {since} --until {until}", "no time lies between them", "exchange them")
    found = Filter(
        tuple(_glob(value) for value in sources or ()),
        tuple("." + _whole(SUFFIX, "suffix", value, "md").lower().removeprefix(".") for value in suffixes or ()),
        first,
        last,
        tuple(re.split("[-_]", _whole(LANGUAGE, "language", value, "de"))[0].lower() for value in languages or ()),
        tuple(_field(value) for value in fields or ()),
    )
    return None if found == Filter() else found


def resolve(catalog: Catalog, wanted: Filter) -> Allowed | None:
    """Return what the filter allows of the catalog, or None where that is everything."""
    sources = allowed_sources(catalog, wanted)
    if len(sources) == catalog.rows("SELECT count(*) FROM sources")[0][0]:
        return None
    rows: set[int] = set()
    shown: dict[str, str] = {}
    copies: list[tuple[int, str, str]] = []  # in the order of their places: the first of several copies is shown
    sql = (
        "SELECT c.rowid, c.id, c.kept_by, k.id FROM chunks c LEFT JOIN chunks k ON k.rowid = c.kept_by"
        " WHERE c.source IN ({}) ORDER BY c.source, c.position"
    )
    for part in batches(sources):
        for row, id_, keeper, keeper_id in catalog.rows(sql.format(",".join("?" * len(part))), part):
            if keeper is None:
                rows.add(row)
                shown[id_] = id_
            elif keeper_id:
                copies.append((keeper, keeper_id, id_))
    for keeper, keeper_id, id_ in copies:
        rows.add(keeper)
        shown.setdefault(keeper_id, id_)
    return Allowed(frozenset(sources), frozenset(rows), shown)


def allowed_sources(catalog: Catalog, wanted: Filter) -> list[str]:
    """Return the sources that the filter allows, with or without chunks."""
    clauses: list[str] = ["1"]
    values: list[object] = []

    def need_one(condition: str, options: Sequence[object]) -> None:
        if options:
            clauses.append(f"({' OR '.join([condition] * len(options))})")
            values.extend(options)

    # instr, not LIKE: _ and % in a suffix are plain characters
    need_one("instr(lower(source) || '\n', ?) > 0", [f"{suffix}\n" for suffix in wanted.suffixes])
    need_one("mtime_ns >= ?", [_nanoseconds(wanted.since)] if wanted.since else [])
    need_one("mtime_ns < ?", [_nanoseconds(wanted.until)] if wanted.until else [])
    need_one("language = ?", wanted.languages)
    for key in dict(wanted.fields):
        of_key = [value for name, value in wanted.fields if name == key]
        has = "EXISTS (SELECT 1 FROM fields f WHERE f.source = sources.source AND f.key = ? AND f.value = ?)"
        clauses.append(f"({' OR '.join([has] * len(of_key))})")
        values.extend(part for value in of_key for part in (key, value))
    found = catalog.rows(f"SELECT source FROM sources WHERE {' AND '.join(clauses)}", values)  # noqa: S608
    sources = sorted(source for (source,) in found)
    if not wanted.sources:
        return sources
    fits, here = re.compile("|".join(map(_expression, wanted.sources)), re.DOTALL).fullmatch, f"{Path.cwd()}{os.sep}"
    return [s for s in sources if any(map(fits, (s, s.removeprefix(here), s.rpartition(os.sep)[2])))]


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000


def _expression(glob: str) -> str:
    """Return a glob as a regular expression: only ** crosses a slash, and a folder's name means all that is in it."""
    expression, at = "", 0
    for wild in WILD.finditer(glob):
        found = wild.group()
        in_set = re.sub(r"([\\\[\]^])", r"\\\1", found[1:-1])
        in_set = f"^{in_set[1:]}" if in_set.startswith("!") else in_set
        expression += re.escape(glob[at : wild.start()]) + MEANING.get(found, f"(?!/)[{in_set}]")
        at = wild.end()
    folder = "" if WILD.search(glob.rpartition("/")[2]) else "(?:/.*)?"
    return f"(?:{expression}{re.escape(glob[at:])}{folder})"


def _glob(value: str) -> str:
    glob = value.strip().removeprefix("./").rstrip("/")
    if not glob:
        raise QuestionError(f"--source {value!r}", "it names nothing", "write a path or a glob, such as 'docs/**/*.md'")
    try:
        re.compile(_expression(glob))
    except re.error as error:
        raise QuestionError(f"--source {value}", f"no glob ({error})", "put * or ? in the bracket's place") from None
    return str(Path(glob).expanduser()) if glob.startswith("~") else glob


def _whole(form: re.Pattern[str], name: str, value: str, example: str) -> str:
    if not form.fullmatch(value.strip()):
        raise QuestionError(f"--{name} {value!r}", f"this is no {name}", f"write it as in --{name} {example}")
    return value.strip()


def _moment(name: str, value: str) -> datetime | None:
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        if name == "until" and _is_date(value.strip()):
            moment += timedelta(days=1)
        _nanoseconds(moment)  # years that no clock knows
    except (ValueError, OverflowError, OSError):
        raise QuestionError(
            f"--{name} {value}", "this is no date", "write it as 2026-11-25 or 2026-11-25T18:00"
        ) from None
    return moment.astimezone()


def _is_date(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _field(value: str) -> tuple[str, str]:
    key, equals, wanted = value.partition("=")
    if not (equals and key.strip() and wanted.strip()):
        raise QuestionError(f"--field {value!r}", "it is no KEY=VALUE", "write it as in --field author=Lovelace")
    return comparable(key), comparable(wanted)
