"""A user's questions with the passages they expect come in; queries with judgements over the user's index go out."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from errors import EvaluationError, one_line
from evaluation.collection import Judgements
from loaders.catalog import Catalog

REMEDY = 'write one {"question": …, "source": "folder/file.pdf", "page": 3} a line, the page only where there is one'


@dataclass(frozen=True)
class Questions:
    """Questions by their number in the file, what they expect to find (a source or source#page), those without."""

    queries: dict[str, str]
    relevant: Judgements
    unanswerable: dict[str, str]

    def label(self, query_id: str, passage: Document) -> Iterator[str]:
        """Yield what of the question's expectations the passage meets, or its own id: a wrong passage takes a place."""
        at, expected = passage.metadata, self.relevant.get(query_id, {})
        names = [at["source"], f"{at['source']}#{at['page']}"]
        for source in at["also_in"]:  # on which page the same text stands there is not known
            names += [name for name in expected if name.rpartition("#")[0] == source or name == source]
        yield from [name for name in dict.fromkeys(names) if name in expected] or [str(passage.id)]


def read_questions(path: Path, catalog: Catalog) -> Questions:
    """Read JSON lines {question, source[, page]}, or {question, answerable: false} where nothing is to be found.

    A source is a path, or the end of one, of a document in the index; several stand in a list. `doc_id` and `doc_ids`
    are other names of it. Follow-ups, which have a history, are left out. Raise EvaluationError that names the row.
    """
    pages = set(catalog.rows("SELECT DISTINCT source, page FROM chunks"))
    queries, unanswerable = {}, {}
    relevant: Judgements = {}
    number = 0
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            if not line.strip():
                continue
            row, id_ = json.loads(line), str(number)
            question = row["question"].strip()
            if not question:
                raise ValueError("the question is empty")
            if row.get("history"):
                continue
            if row.get("answerable") is False:
                unanswerable[id_] = question
                continue
            queries[id_] = question
            relevant[id_] = dict.fromkeys(_expected(row, pages), 1)
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(path, one_line(error), REMEDY) from None
    except EvaluationError as error:
        raise EvaluationError(f"{path}, row {number}", f"{error.value} {error.reason}", error.remedy) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{path}, row {number}", f"not as expected ({one_line(error)})", REMEDY) from None
    return Questions(queries, relevant, unanswerable)


def _expected(row: dict[str, Any], pages: set[tuple[Any, ...]]) -> Iterator[str]:
    """Yield the full names of the row's sources, with the page where it names one."""
    given = next((row[key] for key in ("source", "doc_id", "doc_ids") if row.get(key)), None)
    names = [name for name in (given if isinstance(given, list) else [given]) if isinstance(name, str)]
    if not names:
        raise ValueError("it names no source, nor says answerable: false")
    page = row.get("page")
    if page is not None and (isinstance(page, bool) or not isinstance(page, int) or len(names) > 1):
        raise ValueError(f"page {page!r} is not the number of a page of one source")
    for name in names:
        source = _indexed(name, {source for source, _ in pages})
        if page is not None and (source, page) not in pages:
            raise EvaluationError(f"{name}#{page}", "holds no passage in the index", "check the page, from 1")
        yield source if page is None else f"{source}#{page}"


def _indexed(name: str, sources: set[str]) -> str:
    full = str(Path(name).expanduser().absolute())
    found = [each for each in (name, full) if each in sources] or sorted(s for s in sources if s.endswith(f"/{name}"))
    if not found:
        raise EvaluationError(name, "is not in the index", "ingest it, or name it as `main.py documents` does")
    if len(found) > 1 and found[0] not in (name, full):
        raise EvaluationError(name, f"is the name of {len(found)} documents", "give more of its path")
    return found[0]
