"""A folder of real files with reference texts comes in; how much of each text our readers and others find goes out.

    python benchmarks/formats.py FORMATS_FOLDER [--with pypdf --with calamine ...] [--only docx,pdf] [--ocr eng]

FORMATS_FOLDER holds files/, reference/ and manifest.csv. Each file is read in a forked child of 2 GB and 60 s.
"""

import argparse
import csv
import importlib
import importlib.util
import multiprocessing
import re
import resource
import statistics
import time
import unicodedata
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from errors import DocumentError
from loaders.documents import SUFFIXES, load_documents
from loaders.formats.community import community_loaders, elements
from loaders.formats.reading import Reading

MEMORY, SECONDS, ENOUGH = 2 * 2**30, 60, 0.90
OURS = "load_documents"


@dataclass(frozen=True)
class Outcome:
    """How one file ended: its text, or the reason why there is none; bad where it crashed, hung or ran over."""

    text: str = ""
    reason: str = ""
    bad: bool = False
    seconds: float = 0.0


def by_community(loader: str, **options: object) -> Callable[[Path], str]:
    """Return a reader that is one of LangChain's own loaders."""
    return lambda path: "\n".join(
        d.page_content for d in getattr(community_loaders(), loader)(str(path), **options).load()
    )


def by_unstructured(loader: str) -> Callable[[Path], str]:
    """Return a reader that is one of LangChain's unstructured loaders, off the network."""
    return lambda path: "\n".join(d.page_content for d in elements(path, loader))


def _pypdf(path: Path) -> str:
    from pypdf import PdfReader

    return "\n".join(page.extract_text() for page in PdfReader(path).pages)


def _pdfminer(path: Path) -> str:
    from pdfminer.high_level import extract_text

    return extract_text(path)


def _markitdown(path: Path) -> str:
    from markitdown import MarkItDown

    return MarkItDown(enable_plugins=False).convert_local(path).text_content


def _calamine(path: Path) -> str:
    from python_calamine import CalamineWorkbook

    book = CalamineWorkbook.from_path(path)
    return "\n".join(
        str(cell) for name in book.sheet_names for row in book.get_sheet_by_name(name).to_python() for cell in row
    )


def _kreuzberg(path: Path) -> str:
    from kreuzberg import extract_file_sync

    return extract_file_sync(path).content


def _extractous(path: Path) -> str:
    from extractous import Extractor

    return Extractor().extract_file_to_string(str(path))[0]


def _sharepoint(path: Path) -> str:
    import sharepoint2text

    return "\n".join(found.full_text for found in sharepoint2text.read_file(str(path)))


def _pandoc(path: Path) -> str:
    import pypandoc

    return pypandoc.convert_file(str(path), "plain", extra_args=["--wrap=none"])


def _striprtf(path: Path) -> str:
    from striprtf.striprtf import rtf_to_text

    return rtf_to_text(path.read_text("latin-1"), errors="ignore")


OFFICE = "doc ppt xls docx docm pptx pptm xlsx xlsm xlsb odt odp ods rtf epub".split()  # noqa: SIM905
TEXTS = "md txt html htm xml csv tsv psv json eml msg rst org".split()  # noqa: SIM905
# name → the module that it needs, the formats it is tried on, how it reads one file
OTHERS: dict[str, tuple[str, list[str], Callable[[Path], str]]] = {
    "pypdf": ("pypdf", ["pdf"], _pypdf),
    "pdfminer": ("pdfminer", ["pdf"], _pdfminer),
    "markitdown": ("markitdown", ["pdf", *OFFICE, *TEXTS], _markitdown),
    "kreuzberg": ("kreuzberg", ["pdf", *OFFICE, *TEXTS], _kreuzberg),
    "extractous": ("extractous", ["pdf", *OFFICE, *TEXTS], _extractous),
    "sharepoint2text": ("sharepoint2text", ["pdf", *OFFICE, *TEXTS, "mbox"], _sharepoint),
    "calamine": ("python_calamine", ["xls", "xlsx", "xlsm", "xlsb", "ods"], _calamine),
    "pandoc": ("pypandoc", ["docx", "odt", "epub", "rtf", "rst", "org"], _pandoc),
    "striprtf": ("striprtf", ["rtf"], _striprtf),
    "Docx2txtLoader": ("docx2txt", ["docx"], by_community("Docx2txtLoader")),
    "TextLoader": ("langchain_community", TEXTS, by_community("TextLoader")),
    "BSHTMLLoader": ("langchain_community", ["html", "htm"], by_community("BSHTMLLoader")),
    "CSVLoader": ("langchain_community", ["csv", "tsv", "psv"], by_community("CSVLoader")),
    "UnstructuredWordDocumentLoader": ("unstructured", ["docx"], by_unstructured("UnstructuredWordDocumentLoader")),
    "UnstructuredPowerPointLoader": ("unstructured", ["pptx"], by_unstructured("UnstructuredPowerPointLoader")),
    "UnstructuredExcelLoader": ("unstructured", ["xls", "xlsx"], by_unstructured("UnstructuredExcelLoader")),
    "UnstructuredODTLoader": ("unstructured", ["odt"], by_unstructured("UnstructuredODTLoader")),
    "UnstructuredEPubLoader": ("unstructured", ["epub"], by_unstructured("UnstructuredEPubLoader")),
    "UnstructuredRTFLoader": ("unstructured", ["rtf"], by_unstructured("UnstructuredRTFLoader")),
    "UnstructuredHTMLLoader": ("unstructured", ["html", "htm"], by_unstructured("UnstructuredHTMLLoader")),
    "UnstructuredEmailLoader": ("unstructured", ["eml"], by_unstructured("UnstructuredEmailLoader")),
}


def main() -> None:
    """Read every file of the folder and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--with", dest="others", action="append", default=[], help="an alternative, or all")
    parser.add_argument("--only", default="", help="formats, separated by commas")
    parser.add_argument("--ocr", default="", help="languages of tesseract")
    asked = parser.parse_args()
    rows = [row | {"path": asked.folder / "files" / row["file"]} for row in manifest(asked.folder, asked.only)]
    for module in ("docx", "epub", "odt", "pptx"):  # here, once, and not in every child
        importlib.import_module(f"unstructured.partition.{module}")
    _ = community_loaders().PyPDFium2Loader
    wanted = list(OTHERS) if "all" in asked.others else asked.others
    outcomes = {OURS: run(OURS, rows, asked.ocr)}
    for name in wanted:
        if importlib.util.find_spec(OTHERS[name][0]):
            outcomes[name] = run(name, [row for row in rows if row["ext"] in OTHERS[name][1]], "")
        else:
            print(f"{name} is not installed")
    for name, found in outcomes.items():
        print_recall(name, rows, found, asked.folder)
    print_failures(rows, outcomes[OURS])


def manifest(folder: Path, only: str) -> list[dict[str, str]]:
    """Return the manifest's rows of the wanted formats."""
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [row for row in rows if not only or row["ext"] in only.split(",")]


def run(name: str, rows: list[dict], ocr: str) -> dict[str, Outcome]:
    """Read each file in a child of its own."""
    return {
        row["file"]: in_child(name, row["path"], Reading(tuple(filter(None, [row["password"]])), ocr)) for row in rows
    }


def in_child(name: str, path: Path, reading: Reading) -> Outcome:
    """Fork, so that the time of imports counts once, and wait for the child's outcome within the limits."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(theirs, name, path, reading))
    began = time.perf_counter()
    child.start()
    theirs.close()
    try:
        found: Outcome = ours.recv() if ours.poll(SECONDS) else Outcome(reason="hung", bad=True)
    except EOFError:
        child.join()
        found = Outcome(reason=f"crashed ({child.exitcode})", bad=True)
    child.kill()
    child.join()
    return Outcome(found.text, found.reason, found.bad, time.perf_counter() - began)


def _child(pipe: Connection, name: str, path: Path, reading: Reading) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    try:
        if name == OURS:
            pipe.send(Outcome("\n".join(d.page_content for d in load_documents(path, reading))))
        else:
            pipe.send(Outcome(OTHERS[name][2](path)))
    except DocumentError as error:
        pipe.send(Outcome(reason=error.reason, bad="\n" in str(error) or len(str(error)) > 600))
    except MemoryError:
        pipe.send(Outcome(reason="over 2 GB", bad=True))
    except BaseException as error:  # what alternatives raise is one of their figures
        pipe.send(Outcome(reason=f"{type(error).__name__}: {error}"[:200], bad=name == OURS))


def words(text: str) -> Counter[str]:
    """Return the words of a text, counted."""
    return Counter(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def scores(row: dict, outcome: Outcome, folder: Path) -> tuple[float, float]:
    """Return the recall and precision of a file's words against its reference."""
    reference, found = words((folder / row["reference"]).read_text("utf-8", "replace")), words(outcome.text)
    both = (reference & found).total()
    return both / (reference.total() or 1), both / (found.total() or 1)


def print_recall(name: str, rows: list[dict], outcomes: dict[str, Outcome], folder: Path) -> None:
    """Print a line a format, then the files that fall short."""
    print(f"\n### {name}\n\n| format | files | recall, median | reach {ENOUGH:.2f} | precision, median | refused | s |")
    print("|---|---|---|---|---|---|---|")
    per: dict[str, list[tuple[float, float, dict, Outcome]]] = defaultdict(list)
    for row in rows:
        counts = row["category"] == "normal" and row["reference"] and int(row["reference_words"] or 0)
        if row["file"] in outcomes and counts:
            outcome = outcomes[row["file"]]
            per[row["ext"]].append((*scores(row, outcome, folder), row, outcome))
    everything = [one for found in per.values() for one in found]
    for ext, found in [*per.items(), ("all", everything)]:
        if not found:
            continue
        recall, precision = [one[0] for one in found], [one[1] for one in found if one[3].text]
        enough = sum(value >= ENOUGH for value in recall) / len(recall)
        refused, seconds = sum(not one[3].text for one in found), sum(one[3].seconds for one in found)
        middles = f"{statistics.median(recall):.3f} | {enough:.0%} | {statistics.median(precision or [0.0]):.3f}"
        print(f"| {ext} | {len(found)} | {middles} | {refused} | {seconds:.1f} |")
    if name == OURS:
        print(f"\nNormal files under {ENOUGH:.2f}:")
        for recall, file, reason in sorted((one[0], one[2]["file"], one[3].reason) for one in everything):
            if recall < ENOUGH:
                print(f"{recall:.3f} {file} {reason}")


def print_failures(rows: list[dict], outcomes: dict[str, Outcome]) -> None:
    """Print how the files of each category ended, normal ones without a reference included."""
    print("\n| category | files | text | one clear reason | badly |\n|---|---|---|---|---|")
    groups: dict[str, list[tuple[dict, Outcome]]] = defaultdict(list)
    for row in rows:
        groups[row["category"]].append((row, outcomes[row["file"]]))
    for category, found in sorted(groups.items()):
        text, bad = sum(bool(o.text) for _, o in found), sum(o.bad for _, o in found)
        print(f"| {category} | {len(found)} | {text} | {len(found) - text - bad} | {bad} |")
    for category, found in sorted(groups.items()):
        for row, outcome in found:
            if outcome.reason:
                badly = "BAD " if outcome.bad else ""
                print(f"{badly}{category} {row['file']}: {outcome.reason} ({outcome.seconds:.1f} s)")
    unknown = {row["ext"] for row in rows} - {suffix[1:] for suffix in SUFFIXES}
    print("no reader for:", " ".join(sorted(unknown)) or "none")


if __name__ == "__main__":
    main()
