"""Furniture: what repeats at the edges of pages goes, all else stays, verbatim and where it was."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from loaders.documents import load_documents
from loaders.furniture import drop_furniture

BODIES = [
    "The lease begins in spring.\nRent is due monthly.",
    "Repairs are the owner's affair.\nThe tenant reports them.",
    "Notice is three months.\nIt is given in writing.",
    "Pets need consent.\nSmall ones do not.",
    "Keys are returned at the end.\nAll of them.",
    "The deposit comes back.\nLess what is owed.",
]


def paged(*texts: str, line: int | None = None) -> list[Document]:
    place = {"source": "/docs/lease.pdf", "line": line, "section": "", "start_index": 0}
    return [Document(text, metadata=place | {"page": number}) for number, text in enumerate(texts, 1)]


def texts(documents: list[Document]) -> list[str]:
    return [document.page_content for document in documents]


def test_headers_footers_and_page_numbers_go() -> None:
    pages = [f"Lease of a flat\n{body}\nStrictly private\nPage {n} of 6" for n, body in enumerate(BODIES, 1)]
    kept, dropped = drop_furniture(paged(*pages))
    assert texts(kept)[1:] == BODIES[1:]
    assert texts(kept)[0] == f"Lease of a flat\n{BODIES[0]}\nStrictly private"  # the first of each may be the title
    assert {line.reason for line in dropped} == {"repeated header", "repeated footer", "page number"}
    assert len(dropped) == 5 + 5 + 6


def test_offsets_stay_true() -> None:
    pages = [f"Lease of a flat\r\n\r\n{body}\r\n- {n} -" for n, body in enumerate(BODIES, 7)]
    kept, dropped = drop_furniture(paged(*pages, line=1))
    for document in kept:
        page, at = pages[document.metadata["page"] - 1], document.metadata["start_index"]
        assert page[at : at + len(document.page_content)] == document.page_content
        assert document.metadata["line"] == 1 + page.count("\n", 0, at)
    for line in dropped:
        assert line.page is not None
        assert pages[line.page - 1][line.start : line.start + len(line.text)] == line.text


@pytest.mark.parametrize(
    "number",
    ["{n}", "- {n} -", "[{n}]", "Page {n}", "{n} / 6", "Seite {n} von 6", "第{n}页", "第 {n} 页 共 6 页", "صفحة {n}"],
)
def test_page_numbers_of_many_kinds(number: str) -> None:
    pages = [f"{body}\n{number.format(n=n)}" for n, body in enumerate(BODIES, 1)]
    kept, dropped = drop_furniture(paged(*pages))
    assert texts(kept) == BODIES
    assert {line.reason for line in dropped} == {"page number"}


def test_roman_page_numbers() -> None:
    pages = [f"{body}\n{n}" for n, body in zip(["iii", "iv", "v", "vi", "vii", "viii"], BODIES, strict=True)]
    assert texts(drop_furniture(paged(*pages))[0]) == BODIES


def test_running_titles_with_the_number_of_the_page() -> None:
    pages = [f"{body}\nForm of lease | Part {1 + n // 4} | {n}" for n, body in enumerate(BODIES, 31)]
    kept, dropped = drop_furniture(paged(*pages))
    assert texts(kept)[1:] == BODIES[1:]
    assert "Form of lease" in texts(kept)[0]
    assert {line.reason for line in dropped} == {"repeated footer"}


def test_left_and_right_pages_may_differ() -> None:
    pages = [f"{('Book of homes', 'Chapter on leases')[n % 2]}\n{body}" for n, body in enumerate(BODIES)]
    assert texts(drop_furniture(paged(*pages))[0])[2:] == BODIES[2:]


@pytest.mark.parametrize(
    "last",
    [
        "Total 12,{n}55",  # the same words, other amounts
        "{n}4 {n}9 3{n}",
        "Table {n}5 shows it all",
    ],
)
def test_numbers_that_do_not_count_the_pages_stay(last: str) -> None:
    pages = [f"{body}\n{last.format(n=n)}" for n, body in zip([7, 3, 9, 1, 8, 2], BODIES, strict=True)]
    assert texts(drop_furniture(paged(*pages))[0]) == pages


def test_numbered_headings_stay() -> None:
    pages = [f"Question {n}\n{body}" for n, body in enumerate(BODIES, 1)]
    assert texts(drop_furniture(paged(*pages))[0]) == pages


def test_a_heading_of_some_pages_stays() -> None:
    pages = [f"{'Annex' if n < 2 else 'Part'} on homes {'abcdef'[n]}\n{body}" for n, body in enumerate(BODIES)]
    pages[0] = pages[1] = f"Terms, continued\n{BODIES[0]}"
    assert texts(drop_furniture(paged(*pages))[0]) == pages


def test_what_repeats_within_pages_stays() -> None:
    body = "\n".join(f"line {word}" for word in "one two three four five six".split())  # noqa: SIM905
    pages = [f"{a}\n{body}\nTerms\n{body}\n{b}" for a, b in zip(BODIES, reversed(BODIES), strict=True)]
    kept = texts(drop_furniture(paged(*pages))[0])
    assert all("Terms" in text for text in kept)


def test_two_pages_are_too_few() -> None:
    pages = paged(f"Lease\n{BODIES[0]}\n1", f"Lease\n{BODIES[1]}\n2")
    assert drop_furniture(pages) == (pages, [])


def test_rows_and_files_without_pages_stay() -> None:
    place = {"source": "/docs/stock.csv", "page": None, "line": None}
    rows = [
        Document("name: nut\nprice: 3", metadata=place | {"section": f"row {n}", "start_index": n * 20})
        for n in range(9)
    ]
    assert drop_furniture(rows) == (rows, [])
    assert drop_furniture([]) == ([], [])


def test_a_page_of_several_documents_is_cut_at_its_outer_edges() -> None:
    documents = []
    for n, body in enumerate(BODIES, 1):
        place = {"source": "/docs/lease.pdf", "page": n, "line": None, "section": ""}
        head, foot = "Lease of a flat\n", f"\n{n}"
        documents += [
            Document(head, metadata=place | {"start_index": 0}),
            Document(body + foot, metadata=place | {"start_index": len(head)}),
        ]
    kept, _ = drop_furniture(documents)
    assert texts(kept) == ["Lease of a flat\n", *BODIES]
    assert kept[-1].metadata["start_index"] == len("Lease of a flat\n")


@given(
    st.lists(st.lists(st.sampled_from(["Title", "Page 1", "3", "ii", "words here", "", "\r"]), max_size=9), max_size=8)
)
def test_what_stays_and_what_goes_are_the_file(pages: list[list[str]]) -> None:
    whole = ["\n".join(lines) for lines in pages]
    documents = paged(*whole)
    kept, dropped = drop_furniture(documents)
    for piece in [*((d.metadata["page"], d.metadata["start_index"], d.page_content) for d in kept)]:
        page, at, text = piece
        assert whole[page - 1][at : at + len(text)] == text
    solid = sum(len("".join(text.split())) for text in whole)
    assert solid == sum(len("".join(text.split())) for text in [*texts(kept), *(line.text for line in dropped)])
    for text in ("Title", "words here"):  # never lost altogether
        assert any(text in page for page in whole) == any(text in page for page in texts(kept))


def test_a_real_report_keeps_its_words() -> None:
    folder = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "qa_pdf" / "kgrag_10q" / "corpus"
    if not folder.is_dir():
        pytest.skip("../shared/data is not there")
    documents = load_documents(sorted(folder.glob("*.pdf"))[0])
    kept, dropped = drop_furniture(documents)
    before, after = ({word for text in texts(found) for word in text.split()} for found in (documents, kept))
    assert len(dropped) > 10
    assert all(len(line.text) < 80 for line in dropped)
    assert {word for word in before - after if word.isalpha()} == set()
