"""Real small files of every format in; Documents with page, section and offset out, or one DocumentError."""

import json
import os
import time
from email.message import EmailMessage
from pathlib import Path

import pytest
from ftfy.badness import is_bad
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from errors import DocumentError
from loaders.documents import SUFFIXES, load_documents
from loaders.files import find_files
from loaders.formats.encoding import encoding_of
from loaders.formats.sections import JOINER

CORPUS = Path(__file__).parents[2] / "shared" / "data" / "formats" / "files"


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def pdf(*pages: str) -> bytes:
    """Build a PDF with one line of Helvetica a page; an empty line leaves the page blank, as a scan does."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET" if text else ""
        objects += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 200] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * n} 0 R >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    out, offsets = "%PDF-1.4\n", []
    for n, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{n} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    tail = f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return f"{out}xref\n0 {size}\n0000000000 65535 f \n{table}{tail}".encode("latin-1")


def pairs(documents: list[Document]) -> list[tuple[str, str]]:
    return [(document.metadata["section"], document.page_content) for document in documents]


def assert_placed(path: Path, documents: list[Document]) -> None:
    """Check the metadata's keys, and that the offsets point into the joined stretches."""
    text = JOINER.join(document.page_content for document in documents)
    for document in documents:
        assert list(document.metadata) == ["source", "page", "line", "section", "start_index"]
        assert document.metadata["source"] == str(path)
        start = document.metadata["start_index"]
        if document.metadata["page"] is None:
            assert text[start : start + len(document.page_content)] == document.page_content
        else:
            assert (document.metadata["page"] >= 1, start) == (True, 0)


def refusal(path: Path) -> str:
    with pytest.raises(DocumentError) as caught:
        load_documents(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value.reason


# files


def test_files_are_sorted_and_hidden_linked_and_ignored_ones_left_out(tmp_path: Path) -> None:
    names = [
        "b.md",
        "a/z.txt",
        "a/keep.log",
        "a/x.log",
        "a/deep/y.log",
        "a.bin",
        "c/drafts/d.md",
        ".git/e.md",
        ".f.md",
    ]
    for name in names:
        write(tmp_path / name, "x")
    write(tmp_path / ".ragignore", "# comment\n*.log\ndrafts/\n/b.md\n")
    write(tmp_path / "a" / ".ragignore", "!keep.log\n")
    (tmp_path / "link.md").symlink_to(tmp_path / "a.bin")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = [path.relative_to(tmp_path).as_posix() for path in find_files(tmp_path)]
    assert found == ["a/keep.log", "a/z.txt", "a.bin"]
    assert list(find_files(tmp_path / "b.md")) == [tmp_path / "b.md"]  # named outright, so wanted


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"nowhere: no such file or folder\. check the path"):
        list(find_files(tmp_path / "nowhere"))


# text


WRITING = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\t")


@given(st.text(WRITING).filter(lambda text: text.strip() and not is_bad(text)))
def test_text_is_verbatim(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = write(tmp_path_factory.mktemp("text") / "a.txt", text)
    (document,) = load_documents(path)
    assert document.page_content == path.read_text(encoding_of(path))
    assert_placed(path, [document])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "latin-1"])
def test_text_in_any_usual_encoding(tmp_path: Path, encoding: str) -> None:
    text = "# Überschrift\r\n\r\nDie Straße nach Köln führt über die Brücke, schön für müde Füße.\r\n"
    path = write(tmp_path / "a.md", text.encode(encoding))
    (document,) = load_documents(path)
    assert document.page_content == text.replace("\r\n", "\n")
    assert document.metadata == {"source": str(path), "page": None, "line": 1, "section": "", "start_index": 0}


# headed formats

MARKDOWN = "# Guide\n\nIntro.\n\n## Setup\n\nInstall *it*.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n# Notes\n\nEnd.\n"


def test_html_numbers_its_lists_and_keeps_asides_that_are_text(tmp_path: Path) -> None:
    html = """<title>Tea</title><body><h1>Tea in steps</h1>
      <ol start="3"><li>Boil.</li><li><p>Pour.</p><p>Wait.</p></li></ol>
      <article><aside>Mind the <a href="x">kettle</a>, it is hot.</aside><aside><a href="y">More on tea</a></aside>
      </article><footer>Written in May.</footer></body>"""
    assert pairs(load_documents(write(tmp_path / "a.html", html))) == [
        (
            "Tea in steps",
            "Tea in steps\n\n3. Boil.\n4. Pour.\n\nWait.\n\nMind the kettle, it is hot.\n\nWritten in May.",
        )
    ]


def test_html_sections(tmp_path: Path) -> None:
    html = """<html><head><title>Shop</title><style>p {}</style></head><body><nav>Home</nav>
      <h1>Guide</h1><h2>Set\nup</h2><p>One <b>bo</b>ld<br>line.</p>loose <script>x()</script>
      <ul><li>first</li><li>second <del>old</del></li></ul>
      <table><tr><th>Name</th><th>Age</th></tr><tr><td>Ann</td><td>7</td></tr></table>
      <!-- no --><h2>Use</h2><pre>a\n  b</pre>
      <footer><a href="/legal">legal</a></footer><aside><a href="#">ad</a></aside></body></html>"""
    path = write(tmp_path / "a.html", html)
    documents = load_documents(path)
    assert pairs(documents) == [
        (
            "Guide > Set up",
            "Shop\n\nGuide\n\nSet up\n\nOne bold\nline.\n\nloose\n\nfirst\nsecond old\nName: Ann | Age: 7",
        ),
        ("Guide > Use", "Use\n\na\n  b"),
    ]
    assert_placed(path, documents)


def test_html_title_stands_in_for_a_missing_h1(tmp_path: Path) -> None:
    path = write(tmp_path / "a.htm", "<title>Shop</title><p>Open.</p><h2>Hours</h2><p>9 to 5.</p>")
    assert pairs(load_documents(path)) == [("Shop", "Shop\n\nOpen."), ("Shop > Hours", "Hours\n\n9 to 5.")]


def test_html_layout_tables_are_not_rows(tmp_path: Path) -> None:
    html = "<table><tr><td><h1>Top</h1><p>Text.</p><table><tr><td>a<td>b</table></table>"
    assert pairs(load_documents(write(tmp_path / "a.html", html))) == [("Top", "Top\n\nText.\n\na | b")]


def test_docx_sections_tables_boxes_and_notes(tmp_path: Path) -> None:
    import docx
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls

    word = docx.Document()
    word.add_heading("Handbook", level=0)
    word.add_heading("Leave", level=1)
    word.add_paragraph("Ask first.")
    table = word.add_table(rows=1, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "Days", "30"
    word.add_paragraph("After the table.")
    word.add_heading("Pay", level=1)
    word.add_paragraph("Monthly.")
    inner = "<w:sdtContent><w:p><w:r><w:t>In a control.</w:t></w:r></w:p></w:sdtContent>"
    word.element.body.insert(-1, parse_xml(f"<w:sdt {nsdecls('w')}>{inner}</w:sdt>"))
    path = tmp_path / "a.docx"
    word.save(str(path))
    documents = load_documents(path)
    assert pairs(documents) == [
        ("Handbook > Leave", "Handbook\n\nLeave\n\nAsk first.\n\nDays | 30\n\nAfter the table."),
        ("Handbook > Pay", "Pay\n\nMonthly.\n\nIn a control."),
    ]
    assert_placed(path, documents)


@pytest.mark.parametrize("suffix", [".odt", ".epub"])
def test_pandoc_formats_keep_headings_and_tables(tmp_path: Path, suffix: str) -> None:
    import pypandoc  # type: ignore[import-untyped]

    path = tmp_path / f"a{suffix}"
    pypandoc.convert_text(MARKDOWN, suffix[1:], format="md", outputfile=str(path), extra_args=["--metadata=title:Book"])
    documents = load_documents(path)
    assert [(section.split(" > ")[-1], text.split("\n")[-1]) for section, text in pairs(documents)][-3:] == [
        ("Guide", "Intro."),
        ("Setup", "a: 1 | b: 2"),
        ("Notes", "End."),
    ]
    assert "Guide > Setup" in documents[-2].metadata["section"]
    assert_placed(path, documents)


def test_rtf_text_in_its_own_code_page(tmp_path: Path) -> None:
    coded = "".join(f"\\'{byte:02x}" for byte in "Привет".encode("cp1251"))
    path = write(tmp_path / "a.rtf", r"{\rtf1\ansi\ansicpg1251\uc1 " + coded + r" \u8364\'80 {\b bold}\par Next.\par}")
    assert pairs(load_documents(path)) == [("", "Привет € bold\n\nNext.")]


# pages


def test_pdf_has_one_document_a_page(tmp_path: Path) -> None:
    path = write(tmp_path / "a.PDF", pdf("First page.", "", "Third page."))
    documents = load_documents(path)
    assert [(d.metadata["page"], d.page_content) for d in documents] == [
        (1, "First page."),
        (3, "Third page."),
    ]
    assert_placed(path, documents)


def test_pdf_without_text_encrypted_or_broken_is_refused(tmp_path: Path) -> None:
    from pypdf import PdfReader, PdfWriter

    plain = write(tmp_path / "a.pdf", pdf("Secret."))
    writer = PdfWriter(clone_from=PdfReader(plain))
    writer.encrypt("key", algorithm="RC4-128")
    writer.write(tmp_path / "b.pdf")
    assert refusal(tmp_path / "b.pdf") == "encrypted"
    assert refusal(write(tmp_path / "c.pdf", pdf("", ""))) == "empty"
    assert "PDFium" in refusal(write(tmp_path / "d.pdf", b"%PDF-1.4 and no more"))


def test_pptx_has_one_document_a_slide(tmp_path: Path) -> None:
    from pptx import Presentation
    from pptx.util import Inches

    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = "Results"
    table = slide.shapes.add_table(1, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    table.cell(0, 0).text, table.cell(0, 1).text = "Sales", "12"
    slide.notes_slide.notes_text_frame.text = "Mention the north."
    deck.slides.add_slide(deck.slide_layouts[6])
    deck.slides.add_slide(deck.slide_layouts[5]).shapes.title.text = "Thanks"
    path = tmp_path / "a.pptx"
    deck.save(str(path))
    documents = load_documents(path)
    assert [(d.metadata["page"], d.metadata["section"]) for d in documents] == [(1, "Results"), (3, "Thanks")]
    assert documents[0].page_content == "Results\nSales | 12\nMention the north."
    assert_placed(path, documents)


# records


def test_xlsx_rows_carry_their_header(tmp_path: Path) -> None:
    import datetime

    from openpyxl import Workbook  # type: ignore[import-untyped]

    book = Workbook()
    people, plain = book.active, book.create_sheet("Plain")
    people.title = "People"
    day = datetime.datetime(2024, 5, 1)
    for row in [
        ["Staff list"],
        [],
        ["Name", "Paid", None],
        ["Ann", 0.1 + 0.2, day],
        [None, None, None],
        ["Bo", 3],
    ]:
        people.append(row)
    plain.append([1, 2])
    path = tmp_path / "a.xlsx"
    book.save(path)
    documents = load_documents(path)
    assert pairs(documents) == [
        ("People", "Staff list"),
        ("People", "Name | Paid"),
        ("People", "Name: Ann\nPaid: 0.3\n2024-05-01"),
        ("People", "Name: Bo\nPaid: 3"),
        ("Plain", "1 | 2"),
    ]
    assert_placed(path, documents)


@pytest.mark.parametrize(
    ("suffix", "comma"), [(".csv", ","), (".csv", ";"), (".csv", "\t"), (".tsv", "\t"), (".csv", "|")]
)
def test_csv_rows_under_any_usual_delimiter(tmp_path: Path, suffix: str, comma: str) -> None:
    lines = [
        ["id", "note", "", "id"],
        ["1", '"say ""hi""\nthere"', "x", "9"],
        [],
        ["", "", "", ""],
        ["2", "a b", "", "", "over"],
    ]
    path = write(tmp_path / f"a{suffix}", "\n".join(comma.join(line) for line in lines))
    documents = load_documents(path)
    assert pairs(documents) == [
        ("row 1", 'id: 1\nnote: say "hi"\nthere\ncolumn 3: x\nid (4): 9'),
        ("row 3", "id: 2\nnote: a b\nover"),
    ]
    assert_placed(path, documents)


def test_csv_with_a_title_or_nothing_but_a_header(tmp_path: Path) -> None:
    titled = write(tmp_path / "a.csv", "Cups,,\nTeam,City,Won\nBlues,STL,1\n")
    assert pairs(load_documents(titled)) == [("", "Cups"), ("row 1", "Team: Blues\nCity: STL\nWon: 1")]
    assert pairs(load_documents(write(tmp_path / "b.csv", "Team,City\n"))) == [("", "Team | City")]


def test_a_hundred_thousand_rows_load_in_seconds(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,name\n" + "".join(f"{n},name {n}\n" for n in range(100_000)))
    began = time.perf_counter()
    assert len(load_documents(path)) == 100_000
    assert time.perf_counter() - began < 10


def test_json_records(tmp_path: Path) -> None:
    records = [{"a": {"b": 1, "c": None}, "tags": ["x", 2.5, True]}, {"list": [{"d": "é"}]}, "bare"]
    flat = ["a.b: 1\ntags: x, 2.5, true", "list[0].d: é", "bare"]
    listed = write(tmp_path / "a.json", json.dumps(records, indent=1))
    lines = write(tmp_path / "b.jsonl", "\n\n".join(map(json.dumps, records)))
    one = write(tmp_path / "c.json", json.dumps({"data": records}))
    assert pairs(load_documents(listed)) == list(zip(["record 1", "record 2", "record 3"], flat, strict=True))
    assert pairs(load_documents(lines)) == list(zip(["line 1", "line 3", "line 5"], flat, strict=True))
    (whole,) = load_documents(one)
    assert whole.page_content.startswith("data[0].a.b: 1\ndata[0].tags: x, 2.5, true\n")
    for path in (listed, lines, one):
        assert_placed(path, load_documents(path))


def test_invalid_json_is_refused_by_line(tmp_path: Path) -> None:
    assert refusal(write(tmp_path / "a.json", '{"a": 1,\n "b" 2}')).startswith("invalid JSON in line 2: ")
    assert refusal(write(tmp_path / "b.ndjson", '{"a": 1}\n{"b": \n')).startswith("invalid JSON in line 2: ")


# mail


def test_mail_has_its_head_plain_body_and_attachments(tmp_path: Path) -> None:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Grüße aus Köln", "Ann <ann@example.org>", "bo@example.org"
    mail["Date"] = "Wed, 01 May 2024 10:00:00 +0200"
    mail.set_content("Dear Bo,\n\nall is well.\n")
    mail.add_alternative("<p>Dear <b>Bo</b></p>", subtype="html")
    mail.add_attachment(b"\0\1", maintype="application", subtype="pdf", filename="plan.pdf")
    path = write(tmp_path / "a.eml", bytes(mail))
    documents = load_documents(path)
    head = "Subject: Grüße aus Köln\nFrom: Ann <ann@example.org>\nTo: bo@example.org"
    head += "\nDate: Wed, 01 May 2024 10:00:00 +0200"
    assert pairs(documents) == [("Grüße aus Köln", f"{head}\n\nDear Bo,\n\nall is well.\n\nAttachments: plan.pdf")]
    assert_placed(path, documents)


def test_mail_in_html_only_with_a_forwarded_mail(tmp_path: Path) -> None:
    inner, mail = EmailMessage(), EmailMessage()
    inner["Subject"] = "Inner"
    inner.set_content("Hello.")
    mail["Subject"] = "Outer"
    mail.set_content("<p>See <b>below</b></p><script>x()</script>", subtype="html")
    mail.add_attachment(inner)
    (document,) = load_documents(write(tmp_path / "a.eml", bytes(mail)))
    assert document.page_content == "Subject: Outer\n\nSee below\n\nSubject: Inner\n\nHello."


# refusals


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_an_empty_file_is_empty_in_every_format(tmp_path: Path, suffix: str) -> None:
    assert refusal(write(tmp_path / f"a{suffix}", "")) == "empty"


@pytest.mark.parametrize("suffix", [".md", ".html", ".csv", ".eml", ".jsonl"])
def test_white_space_is_empty(tmp_path: Path, suffix: str) -> None:
    assert refusal(write(tmp_path / f"a{suffix}", " \n\t\n")) == "empty"


@pytest.mark.parametrize("suffix", [".docx", ".pptx", ".xlsx", ".odt", ".epub", ".rtf", ".xml", ".json", ".pdf"])
def test_a_broken_file_gives_its_parsers_reason(tmp_path: Path, suffix: str) -> None:
    assert refusal(write(tmp_path / f"a{suffix}", "PK\3\4 broken <"))


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert refusal(write(tmp_path / "a.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")) == "no reader for .png"
    assert refusal(write(tmp_path / "b.txt", bytes(range(256)))) == "not text"
    assert refusal(write(tmp_path / "a.xyz", bytes(range(256)))) == "no reader for .xyz"
    assert refusal(tmp_path / "gone.txt") == "No such file or directory"
    assert (
        refusal(write(tmp_path / "a.docx", bytes.fromhex("d0cf11e0a1b11ae1"))) == "not an OLE2 structured storage file"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "x")
    path.chmod(0)
    assert refusal(path) == "Permission denied"


def test_xml_is_read_without_its_entities(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.txt", "hidden")
    xml = f'<!DOCTYPE a [<!ENTITY e SYSTEM "{secret.as_uri()}">]><a>seen <b>too</b>&e;</a>'
    assert pairs(load_documents(write(tmp_path / "a.xml", xml))) == [("", "seen too")]


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared evaluation data is not beside this clone")
def test_every_real_file_ends_in_text_or_one_error() -> None:
    began, loaded, refused = time.perf_counter(), 0, []
    for path in find_files(CORPUS):
        if path.suffix.lower() not in SUFFIXES or path.stat().st_size > 500_000:
            continue
        try:
            documents = load_documents(path)
            assert_placed(path, documents)
            loaded += 1
        except DocumentError as error:
            refused.append(str(error))
        assert time.perf_counter() - began < 60, f"too slow at {path.name}"
    assert loaded > 4 * len(refused), refused
    assert not [line for line in refused if "\n" in line or len(line) > 600]
