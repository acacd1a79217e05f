"""Small office files, PDFs and archives made here in; their text, or one DocumentError, out."""

import gzip
import io
import shutil
import struct
import time
import zipfile
from base64 import b64encode
from hashlib import pbkdf2_hmac, sha256
from pathlib import Path
from zlib import compressobj

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_documents import pdf

from errors import DocumentError
from loaders.documents import load_documents, unread
from loaders.formats.archives import check_zip
from loaders.formats.reading import Reading
from loaders.formats.rtf import unicode_rtf
from loaders.formats.tables import table_blocks

CORPUS = Path(__file__).parents[2] / "shared" / "data" / "formats" / "files"
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def texts(path: Path, reading: Reading | None = None) -> list[tuple[str, str]]:
    return [(d.metadata["section"], d.page_content) for d in load_documents(path, reading or Reading())]


def reason(path: Path, reading: Reading | None = None) -> str:
    with pytest.raises(DocumentError) as caught:
        load_documents(path, reading or Reading())
    assert caught.value.value == str(path)
    return caught.value.reason


def zipped(path: Path, members: dict[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def word(path: Path, *paragraphs: str) -> Path:
    import docx

    document = docx.Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    document.save(str(path))
    return path


def real(name: str) -> Path:
    if not (CORPUS / name).is_file():
        pytest.skip("the shared evaluation data is not beside this clone")
    return CORPUS / name


# tables


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([["Item", "Price"], ["Tea", "3 €"]], ["Item | Price", "Item: Tea | Price: 3 €"]),
        ([["Name", "Ann"], ["Town", "Bonn"]], ["Name | Ann", "Town | Bonn"]),  # names beside values
        ([["a", "b", "c"], ["x", "", "z", "w"]], ["a | b | c", "a: x | c: z | w"]),
        ([["1", "2", "3"], ["x", "y", "z"]], ["1 | 2 | 3", "x | y | z"]),
        ([["Days", "30"]], ["Days | 30"]),
        ([["All", "All", "All"], ["x", "y", "z"]], ["All", "x | y | z"]),  # one merged cell
    ],
)
def test_a_row_carries_its_header_where_the_table_has_one(rows: list[list[str]], lines: list[str]) -> None:
    assert [block.text for block in table_blocks(rows)] == lines


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", categories=["L", "N"]), max_size=8), max_size=5)))
def test_no_cell_of_a_table_is_lost(rows: list[list[str]]) -> None:
    lines = [block.text for block in table_blocks(rows)]
    assert len(lines) == sum(any(row) for row in rows)
    assert all(cell in line for row, line in zip(filter(any, rows), lines, strict=True) for cell in row)
    assert not any("\n" in line for line in lines)


# Word


def test_docx_boxes_nested_tables_notes_and_deletions(tmp_path: Path) -> None:
    body = (
        "<w:p><w:pPr><w:outlineLvl w:val='0'/></w:pPr><w:r><w:t>Head</w:t></w:r></w:p>"
        "<w:p><w:r><w:t>Kept</w:t><w:tab/><w:t>text</w:t></w:r><w:del><w:r><w:t>gone</w:t></w:r></w:del>"
        "<w:r><w:pict><w:txbxContent><w:p><w:r><w:t>Boxed.</w:t></w:r></w:p></w:txbxContent></w:pict></w:r></w:p>"
        "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>A</w:t></w:r></w:p></w:tc><w:tc><w:tbl><w:tr><w:tc><w:p><w:r><w:t>in</w:t>"
        "</w:r></w:p></w:tc></w:tr></w:tbl><w:p/></w:tc></w:tr></w:tbl>"
    )
    note = "<w:footnote><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote>"
    members: dict[str, str | bytes] = {
        "word/document.xml": f"<w:document {W}><w:body>{body}</w:body></w:document>",
        "word/footnotes.xml": f"<w:footnotes {W}>{note}{note}</w:footnotes>",
        "word/header1.xml": f"<w:hdr {W}><w:p><w:r><w:t>Top</w:t></w:r></w:p></w:hdr>",
    }
    expected = [("Head", "Head\n\nKept\ttext\n\nBoxed.\n\nA | in"), ("", "A note.\nTop")]
    for suffix in (".docx", ".docm", ".dotx", ".doc"):  # the last one under a suffix that is not its own
        assert texts(zipped(tmp_path / f"a{suffix}", members)) == expected


def test_a_long_docx_is_read_in_seconds(tmp_path: Path) -> None:
    path = word(tmp_path / "a.docx", *(f"Paragraph {n} of many, with some words in it." for n in range(8000)))
    began = time.perf_counter()
    assert "Paragraph 7999 of" in texts(path)[0][1]
    assert time.perf_counter() - began < 10


def test_a_chart_has_a_row_a_category(tmp_path: Path) -> None:
    from pptx import Presentation
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE
    from pptx.util import Inches

    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = "Sales"
    data = CategoryChartData()
    data.categories = ["North", "South"]
    data.add_series("2025", (3, 4))
    data.add_series("2026", (5, 6))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, Inches(4), Inches(3), data)
    deck.save(str(tmp_path / "a.pptx"))
    ((section, text),) = texts(tmp_path / "a.pptx")
    assert section == "Sales"
    rows = ["category | 2025 | 2026", "category: North | 2025: 3 | 2026: 5", "category: South | 2025: 4 | 2026: 6"]
    assert text.split("\n") == ["Sales", *rows]


def test_macro_and_template_decks_read_like_plain_ones(tmp_path: Path) -> None:
    from pptx import Presentation

    deck = Presentation()
    deck.slides.add_slide(deck.slide_layouts[5]).shapes.title.text = "Hello"
    deck.save(str(tmp_path / "a.pptx"))
    with zipfile.ZipFile(tmp_path / "a.pptx") as archive:
        members: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    plain = b"application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"
    kinds = {
        ".potx": b"application/vnd.openxmlformats-officedocument.presentationml.template.main+xml",
        ".pptm": b"application/vnd.ms-powerpoint.presentation.macroEnabled.main+xml",
        ".ppsx": b"application/vnd.openxmlformats-officedocument.presentationml.slideshow.main+xml",
    }
    types = members["[Content_Types].xml"]
    assert isinstance(types, bytes)
    for suffix, kind in kinds.items():
        path = zipped(tmp_path / f"b{suffix}", members | {"[Content_Types].xml": types.replace(plain, kind)})
        assert texts(path) == [("Hello", "Hello")]


def test_a_docx_that_holds_files_as_they_are(tmp_path: Path) -> None:
    page = "<html><head><title>T</title></head><body><h2>Use</h2><p>Inside.</p></body></html>"
    head = "MIME-Version: 1.0\nContent-Type: multipart/related; boundary=x\n\n"
    mail = f"{head}--x\nContent-Type: text/html\n\n{page}\n--x--\n"
    parts: dict[str, str | bytes] = {
        "a.html": page,
        "b.mht": mail,
        "c.rtf": "{\\rtf1 Rich.}",
        "d.txt": "Plain.",
        "e.bin": b"\0",
    }
    body = "<w:p><w:r><w:t>Before.</w:t></w:r></w:p>" + "".join(f"<w:altChunk r:id='{n}'/>" for n in [*parts, "none"])
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    links = "".join(f"<Relationship Id='{n}' Type='{kind}/aFChunk' Target='/word/{n}'/>" for n in parts)
    members: dict[str, str | bytes] = {
        "word/document.xml": f"<w:document {W} xmlns:r='{kind}'><w:body>{body}</w:body></w:document>",
        "word/_rels/document.xml.rels": f"<Relationships>{links}</Relationships>",
    }
    path = zipped(tmp_path / "a.docx", members | {f"word/{name}": data for name, data in parts.items()})
    assert [text for _, text in texts(path)] == [
        "Before.",
        "T\n\nUse\n\nInside.",
        "T\n\nUse\n\nInside.\n\nRich.\n\nPlain.",
    ]


def test_a_workbook_has_comments_and_charts_beside_its_cells(tmp_path: Path) -> None:
    from openpyxl import Workbook
    from openpyxl.chart import BarChart, Reference
    from openpyxl.comments import Comment

    book = Workbook()
    for row in (["Town", "Rain"], ["Bonn", 3]):
        book.active.append(row)
    book.active["B2"].comment = Comment("Measured in May.", "Ann")
    chart = BarChart()
    chart.title = "Rain by town"
    chart.add_data(Reference(book.active, min_col=2, min_row=1, max_row=2), titles_from_data=True)
    book.active.add_chart(chart)
    book.save(tmp_path / "a.xlsx")
    *_, (section, text) = texts(tmp_path / "a.xlsx")
    assert section == ""
    assert {"B2: Measured in May.", "Rain by town"} <= set(text.split("\n"))


def test_old_word_headings_and_tables() -> None:
    found = texts(real("tika__testWORD_various.doc"))
    assert any("Row 1 Col 1: Row 2 Col 1 | Row 1 Col 2: Row 2 Col 2" in text for _, text in found)
    assert any("This is a footnote." in text for _, text in found)
    assert not any("HYPERLINK" in text for _, text in found)


def test_old_word_links_have_their_addresses() -> None:
    found = texts(real("tika__testWORD_italicsSurroundingHyperlink.doc"))
    assert "hyperlink italics (http://www.google.com) Italic text" in found[0][1]


def test_a_form_shows_what_is_chosen_and_not_its_code() -> None:
    ((_, text),) = texts(real("tika__testPDF_acroform3.pdf"))
    assert "comboItemB" in text
    assert "comboExport" not in text


def test_old_powerpoint_slides() -> None:
    (slide,) = load_documents(real("tika__testPPT.ppt"))
    assert (slide.metadata["page"], slide.metadata["section"]) == (1, "Sample Powerpoint Slide")
    assert slide.page_content.count("Sample Powerpoint Slide") == 1


@pytest.mark.parametrize("name", ["tika__testWORD_various.doc", "tika__testPPT.ppt", "tika__testEXCEL-formats.xls"])
def test_damaged_old_files_end_in_text_or_one_error(tmp_path: Path, name: str) -> None:
    data = real(name).read_bytes()
    path = tmp_path / f"a{Path(name).suffix}"
    for at in range(0, len(data), max(1, len(data) // 40)):
        path.write_bytes(data[:at] + b"\xff" * 64 + data[at + 64 :] if at % 2 else data[:at])
        try:
            load_documents(path)
        except DocumentError as error:
            assert "\n" not in str(error)


# OpenDocument

ODF = (
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
    'xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0" '
    'xmlns:presentation="urn:oasis:names:tc:opendocument:xmlns:presentation:1.0"'
)


def content(body: str) -> dict[str, str | bytes]:
    inner = f"<office:body>{body}</office:body>"
    return {"content.xml": f"<office:document-content {ODF}>{inner}</office:document-content>"}


def cell(text: str, kind: str = "string", repeated: int = 1) -> str:
    inner = f"<text:p>{text}</text:p>" if text else ""
    attributes = f'office:value-type="{kind}" table:number-columns-repeated="{repeated}"'
    return f"<table:table-cell {attributes}>{inner}</table:table-cell>"


def row(*cells: str, repeated: int = 1) -> str:
    return f'<table:table-row table:number-rows-repeated="{repeated}">{"".join(cells)}</table:table-row>'


def test_ods_rows_are_labelled_and_shown_as_in_the_sheet(tmp_path: Path) -> None:
    rows = row(cell("Name"), cell("", repeated=2), cell("Share")) + row(
        cell("Ann"), cell("", repeated=2), cell("40 %", "percentage"), cell("", repeated=2**30)
    )
    rows += row(cell("Bo<office:annotation><text:p>hm</text:p></office:annotation>"), repeated=2**30)
    sheet = f'<table:table table:name="People">{rows}</table:table>'
    path = zipped(tmp_path / "a.ods", content(f"<office:spreadsheet>{sheet}</office:spreadsheet>"))
    expected = ["Name | Share", "Name: Ann\nShare: 40 %", "Name: Bo"]
    assert texts(path) == [("People", text) for text in expected]


def test_odp_has_one_document_a_slide(tmp_path: Path) -> None:
    title = '<draw:frame presentation:class="title"><draw:text-box><text:p>Plan</text:p></draw:text-box></draw:frame>'
    notes = "<presentation:notes><text:p>Say hello.</text:p></presentation:notes>"
    table = f"<draw:frame><table:table>{row(cell('A'), cell('B'), cell('C'))}{row(cell('1'), cell('2'), cell('3'))}"
    slides = f"<draw:page>{notes}{title}{table}</table:table></draw:frame></draw:page><draw:page/>"
    path = zipped(tmp_path / "a.odp", content(f"<office:presentation>{slides}</office:presentation>"))
    (slide,) = load_documents(path)
    assert (slide.metadata["page"], slide.metadata["section"]) == (1, "Plan")
    assert slide.page_content == "Plan\nA | B | C\nA: 1 | B: 2 | C: 3\nSay hello."


# RTF


def test_rtf_bytes_are_read_in_the_code_page_of_their_font(tmp_path: Path) -> None:
    czech = "".join(f"\\'{byte:02x}" for byte in "Článek".encode("cp1250"))
    japanese = "".join(f"\\'{byte:02x}" for byte in "日本".encode("cp932"))
    rtf = r"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0\fcharset0 A;}{\f1\fcharset238 B;}{\f2\fcharset128 C;}}"
    rtf += rf"\f0 caf\'e9 {{\f1 {czech}}} {{\f2 {japanese}}} \u8364?end \u-10179\'3f\u-8704\'3f\par"  # never closed
    (tmp_path / "a.rtf").write_bytes(rtf.encode("latin-1"))
    assert texts(tmp_path / "a.rtf") == [("", "café Článek 日本 €end 😀")]


@given(st.binary(max_size=200))
def test_rtf_of_any_bytes_comes_out_balanced(data: bytes) -> None:
    out = unicode_rtf(b"{\\rtf1 " + data)
    bare = out.replace("\\\\", "").replace("\\{", "").replace("\\}", "")
    assert bare.count("{") == bare.count("}")


# passwords


def test_office_with_a_password(tmp_path: Path) -> None:
    from msoffcrypto.format.ooxml import OOXMLFile

    plain = word(tmp_path / "plain.docx", "Secret plan.")
    path = tmp_path / "a.docx"
    with plain.open("rb") as file, path.open("wb") as out:
        OOXMLFile(file).encrypt("key", out)
    assert reason(path) == "encrypted"
    assert reason(path, Reading(("wrong", ""))) == "encrypted"
    assert texts(path, Reading(("wrong", "key"))) == [("", "Secret plan.")]
    with pytest.raises(DocumentError, match="RAG_PASSWORDS"):
        load_documents(path)


def test_old_word_with_a_password() -> None:
    path = real("tika__testWORD_protected_passtika.doc")
    assert reason(path) == "encrypted"
    assert "encrypted" in texts(path, Reading(("tika",)))[0][1]


@pytest.mark.parametrize("method", ["aes", "blowfish"])
def test_opendocument_with_a_password(tmp_path: Path, method: str) -> None:
    from cryptography.hazmat.decrepit.ciphers.algorithms import Blowfish
    from cryptography.hazmat.decrepit.ciphers.modes import CFB
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    packer = compressobj(9, wbits=-15)
    plain = str(
        content("<office:presentation><draw:page><text:p>Hidden.</text:p></draw:page></office:presentation>")[
            "content.xml"
        ]
    ).encode()
    data = packer.compress(plain) + packer.flush()
    salt, size = b"s" * 16, 32 if method == "aes" else 16
    vector = b"v" * (16 if method == "aes" else 8)
    key = pbkdf2_hmac("sha1", sha256(b"key").digest(), salt, 1000, size)
    if method == "aes":
        data += b"\0" * (-len(data) % 16)
        cipher = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    else:
        cipher = Cipher(Blowfish(key), CFB(vector)).encryptor()
    name = "http://www.w3.org/2001/04/xmlenc#aes256-cbc" if method == "aes" else "Blowfish CFB"
    manifest = (
        '<m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
        f'<m:file-entry m:full-path="content.xml" m:size="{len(plain)}"><m:encryption-data>'
        f'<m:algorithm m:algorithm-name="{name}" m:initialisation-vector="{b64encode(vector).decode()}"/>'
        '<m:start-key-generation m:start-key-generation-name="http://www.w3.org/2000/09/xmldsig#sha256"/>'
        f'<m:key-derivation m:key-derivation-name="PBKDF2" m:key-size="{size}" m:iteration-count="1000"'
        f' m:salt="{b64encode(salt).decode()}"/></m:encryption-data></m:file-entry></m:manifest>'
    )
    members: dict[str, str | bytes] = {"META-INF/manifest.xml": manifest}
    path = zipped(tmp_path / "a.odp", members | {"content.xml": cipher.update(data) + cipher.finalize()})
    assert reason(path, Reading(("wrong",))) == "encrypted"
    assert texts(path, Reading(("wrong", "key"))) == [("", "Hidden.")]


def test_pdf_with_a_password_and_with_an_owners_only(tmp_path: Path) -> None:
    from pypdf import PdfReader, PdfWriter

    (tmp_path / "plain.pdf").write_bytes(pdf("Secret."))
    for name, user, owner in (("user", "key", None), ("owner", "", "boss")):
        writer = PdfWriter(clone_from=PdfReader(tmp_path / "plain.pdf"))
        writer.encrypt(user, owner, algorithm="AES-256")
        writer.write(tmp_path / f"{name}.pdf")
    assert reason(tmp_path / "user.pdf", Reading(("wrong",))) == "encrypted"
    assert texts(tmp_path / "user.pdf", Reading(("wrong", "key"))) == [("", "Secret.")]
    assert texts(tmp_path / "owner.pdf") == [("", "Secret.")]


# scans


def scan(*pages: str) -> bytes:
    """Build a PDF whose pages are pictures of their words."""
    from PIL import Image, ImageDraw, ImageFont

    pictures = []
    for words in pages:
        picture = Image.new("L", (1240, 400), 255)
        ImageDraw.Draw(picture).text((80, 150), words, fill=0, font=ImageFont.load_default(60))
        pictures.append(picture)
    out = io.BytesIO()
    pictures[0].save(out, "PDF", save_all=True, append_images=pictures[1:], resolution=150)
    return out.getvalue()


def test_pages_without_a_text_layer_are_named(tmp_path: Path) -> None:
    from pypdf import PdfWriter

    (tmp_path / "text.pdf").write_bytes(pdf("Typed.", ""))
    (tmp_path / "scan.pdf").write_bytes(scan("Seen"))
    writer = PdfWriter()
    for name in ("scan.pdf", "text.pdf", "scan.pdf"):
        writer.append(tmp_path / name)
    writer.write(tmp_path / "both.pdf")
    documents = load_documents(tmp_path / "both.pdf")
    assert [(d.metadata["page"], d.page_content) for d in documents] == [(2, "Typed."), (1, ""), (4, "")]
    assert unread(documents) == [f"page {page}: no text layer (scanned page)" for page in (1, 4)]
    assert unread(load_documents(tmp_path / "text.pdf")) == []  # an empty page hides nothing
    with pytest.raises(DocumentError, match="RAG_OCR"):
        load_documents(tmp_path / "scan.pdf")


def test_filled_form_fields_are_read() -> None:
    lines = load_documents(real("tika__testPDF_acroform3.pdf"))[0].page_content.splitlines()
    assert "aTextField: TIKA-1226" in lines


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="the program tesseract is not installed")
def test_ocr_reads_scanned_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(scan("Invoice 4711", "Second page"))
    documents = load_documents(path, Reading(ocr="eng"))
    assert [(d.metadata["page"], d.page_content) for d in documents] == [(1, "Invoice 4711"), (2, "Second page")]
    assert reason(path, Reading(ocr="xyz")).startswith("tesseract: ")


def test_ocr_without_its_program_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pdf").write_bytes(scan("Seen"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert reason(tmp_path / "a.pdf", Reading(ocr="eng")) == "OCR needs the program tesseract"


# RTF


def test_rtf_says_who_wrote_it_numbers_its_lists_and_gives_addresses(tmp_path: Path) -> None:
    path = tmp_path / "a.rtf"
    path.write_text(
        r"{\rtf1{\info{\title Tea}{\author Ann}}"
        r"{\*\listtable{\list{\listlevel\levelnfc0{\leveltext\'02\'00.;}}\listid1}}"
        r"{\*\listoverridetable{\listoverride\listid1\listoverridecount0\ls1}}\pard Two kinds:\par"
        r"{\listtext 1.\tab}\ls1\ilvl0 green\par{\listtext 2.\tab}\ls1\ilvl0 black\par\pard See \htmlrtf"
        r'{\field{\*\fldinst{HYPERLINK "http://example.org/tea"}}{\fldrslt the shop}}\htmlrtf0 .\par}'
    )
    ((_, text),) = texts(path)
    assert text == (
        "Title: Tea\nAuthor: Ann\n\nTwo kinds:\n\n1. green\n2. black\n\nSee the shop (http://example.org/tea)."
    )


def test_rtf_whose_groups_do_not_match_is_read_nevertheless(tmp_path: Path) -> None:
    path = tmp_path / "a.rtf"
    path.write_text(r"{\rtf1{\rtf1 {\b One}\par} Two.\par} Three.\par}")
    assert texts(path) == [("", "One\n\nTwo.\n\nThree.")]


# archives


def test_a_zip_file_is_read_member_by_member(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"../b.csv": "Name,Age\nAnn,7\n"})
    members = {
        "a/Über.md": "# Head\n\nText.",
        "/etc/a.html": "<h1>Top</h1><p>Page.</p>",
        "pictures/a.png": b"\x89PNG",
        "inner.zip": inner.read_bytes(),
        "c.txt.gz": gzip.compress(b"Packed."),
        "bad.json": "{",
        "empty.txt": "",
    }
    path = zipped(tmp_path / "a.zip", members)
    documents = load_documents(path)
    found = [(d.metadata["section"], d.page_content) for d in documents if d.page_content]
    assert found == [
        ("a/Über.md", "# Head\n\nText."),
        ("/etc/a.html > Top", "Top\n\nPage."),
        ("inner.zip/../b.csv > row 1", "Name: Ann\nAge: 7"),
        ("c.txt.gz/c.txt", "Packed."),
    ]
    (line,) = unread(documents)
    assert line.startswith("bad.json: invalid JSON")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "inner.zip"]  # nothing was written beside them


def test_gzip_of_a_document(tmp_path: Path) -> None:
    (tmp_path / "a.docx.gz").write_bytes(gzip.compress(word(tmp_path / "a.docx", "Inside.").read_bytes()))
    assert texts(tmp_path / "a.docx.gz") == [("a.docx", "Inside.")]


def test_an_archive_fails_where_nothing_in_it_can_be_read(tmp_path: Path) -> None:
    assert reason(zipped(tmp_path / "a.zip", {"a.png": b"x"})) == "no file of a known format in it"
    assert reason(zipped(tmp_path / "b.zip", {"a.json": "{", "b.png": b"x"})).startswith(
        "nothing in it could be read; a.json: invalid JSON"
    )
    (tmp_path / "c.gz").write_bytes(gzip.compress(b"\0\1\2\xff"))
    assert reason(tmp_path / "c.gz") == "no file of a known format in it"


def test_members_are_told_by_their_content(tmp_path: Path) -> None:
    inner = gzip.compress(b"twice packed")
    broken = zipped(tmp_path / "b.zip", {"x.txt": "x"}).read_bytes()[:40]
    members: dict[str, str | bytes] = {
        "notes.unknown": "Text.",
        "app.bin": b"\0\1\xff",
        "packed": inner,
        "b.zip": broken,
    }
    members["a.gz"] = b"\x1f\x8b\x08" + bytes(20)
    documents = load_documents(zipped(tmp_path / "a.zip", members))
    assert [(d.metadata["section"], d.page_content) for d in documents if d.page_content] == [
        ("notes.unknown", "Text."),
        ("packed/packed", "twice packed"),
    ]
    assert [line.partition(":")[0] for line in unread(documents)] == ["b.zip", "a.gz"]


def test_names_of_members_in_an_old_code_page(tmp_path: Path) -> None:
    name = "审计软件测试文档.txt".encode("gbk")
    path = zipped(tmp_path / "a.zip", {"x" * len(name): "Text."})
    path.write_bytes(path.read_bytes().replace(b"x" * len(name), name))
    assert texts(path) == [("审计软件测试文档.txt", "Text.")]


def test_archives_in_archives_end_at_the_second_depth(tmp_path: Path) -> None:
    data: bytes | str = "Deep."
    name = "a.txt"
    for depth in range(3):
        path = zipped(tmp_path / f"{depth}.zip", {name: data})
        data, name = path.read_bytes(), path.name
    assert texts(tmp_path / "1.zip") == [("0.zip/a.txt", "Deep.")]
    assert reason(tmp_path / "2.zip").endswith("1.zip/0.zip: an archive too deep in others")


@pytest.mark.parametrize("name", ["tika__droste.zip", "tika__quine.gz", "tika__testZIP_corrupted_oom.zip"])
def test_hostile_archives_end_at_once(name: str) -> None:
    began = time.perf_counter()
    assert len(reason(real(name))) < 100
    assert time.perf_counter() - began < 5


def test_zip_members_with_a_password(tmp_path: Path) -> None:
    # written by hand, because zipfile only reads ZipCrypto; the key is "key", the text "Hidden."
    path = tmp_path / "a.zip"
    path.write_bytes(zip_crypto("a.txt", b"Hidden.", b"key"))
    assert reason(path) == "nothing in it could be read; a.txt: encrypted"
    assert texts(path, Reading(("wrong", "key"))) == [("a.txt", "Hidden.")]


def zip_crypto(name: str, data: bytes, password: bytes) -> bytes:
    from zlib import crc32

    def step(keys: list[int], byte: int) -> None:
        keys[0] = crc32(bytes([byte]), keys[0] ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
        keys[1] = ((keys[1] + (keys[0] & 255)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = crc32(bytes([keys[1] >> 24]), keys[2] ^ 0xFFFFFFFF) ^ 0xFFFFFFFF

    keys = [0x12345678, 0x23456789, 0x34567890]
    for byte in password:
        step(keys, byte)
    total, out = crc32(data), bytearray()
    for byte in bytes(11) + bytes([total >> 24]) + data:
        mask = keys[2] | 2
        out.append(byte ^ (mask * (mask ^ 1) >> 8 & 255))
        step(keys, byte)
    named = name.encode()
    fields = struct.pack("<HHHHHIIIHH", 20, 1, 0, 0, 0, total, len(out), len(data), len(named), 0)
    local = b"PK\3\4" + fields + named + bytes(out)
    central = b"PK\1\2" + struct.pack("<H", 20) + fields + bytes(14) + named
    return local + central + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)


def test_zip_bombs_are_refused_before_they_unpack(tmp_path: Path) -> None:
    zeros = bytes(300 * 2**20)
    for suffix in (".zip", ".docx", ".pptx", ".xlsx", ".odt", ".ods", ".epub"):
        path = tmp_path / f"a{suffix}"
        if suffix == ".zip":
            zipped(path, {"word/document.xml": zeros})
        else:
            shutil.copy(tmp_path / "a.zip", path)
        assert reason(path).startswith("a zip bomb")
    many = {f"{number}.txt": "" for number in range(10_001)}
    assert reason(zipped(tmp_path / "many.zip", many)) == "a zip file of more than 10,000 members"


def test_a_zip_file_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.docx", {"word/document.xml": "x" * 100_000})
    data = path.read_bytes().replace(struct.pack("<I", 100_000), struct.pack("<I", 10))
    path.write_bytes(data)
    assert reason(path) == "a zip bomb: its sizes are false"
    check_zip(zipped(tmp_path / "b.zip", {"a.txt": "x" * 100_000, "b.txt": ""}))


def test_gzip_bombs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(bytes(64 * 2**20)))
    assert "a zip bomb" in reason(tmp_path / "a.txt.gz")


@given(
    st.binary(max_size=300), st.sampled_from([".docx", ".xls", ".ods", ".odp", ".ppt", ".zip", ".gz", ".rtf", ".pdf"])
)
def test_any_bytes_end_in_text_or_one_error(tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str) -> None:
    heads = {".docx": b"PK\3\4", ".zip": b"PK\3\4", ".gz": b"\x1f\x8b", ".pdf": b"%PDF-1.4\n", ".rtf": b"{\\rtf"}
    path = tmp_path_factory.mktemp("any") / f"a{suffix}"
    path.write_bytes(heads.get(suffix, bytes.fromhex("d0cf11e0a1b11ae1")) + data)
    try:
        load_documents(path)
    except DocumentError as error:
        assert "\n" not in str(error)
