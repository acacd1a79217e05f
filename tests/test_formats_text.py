"""Text in any encoding, pages, feeds, mail, notes and tables in; what they say, and nothing around it, out."""

import gzip
import json
import mailbox
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import DocumentError
from loaders.documents import SUFFIXES, load_documents
from loaders.formats.encoding import encoding_in, mended, text_in
from loaders.formats.kinds import kind_of

LANGUAGES = {
    "en": "It’s the “best” café in town – and the price is £5.",
    "de": "Die Straße nach Köln führt über die Brücke, schön für müde Füße.",
    "fr": "L'été dernier, nous avons mangé à Nîmes : c'était « délicieux », n'est-ce pas ?",
    "es": "¿Dónde está el niño? Mañana comerá paella con su señora.",
    "pt": "Hoje está chovendo, mas amanhã fará sol. Coração, ação, não.",
    "pl": "Zażółć gęślą jaźń. Wczoraj byłem w Łodzi i jadłem śniadanie.",
    "cs": "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "tr": "Bugün yağmur yağıyor ama yarın güneşli olacak. İstanbul çok güzel.",
    "ru": "Сегодня идёт дождь, а завтра будет солнечно.",
    "uk": "Сьогодні йде дощ, а завтра буде сонячно. Її звати Ґанна.",
    "el": "Σήμερα βρέχει, αλλά αύριο θα έχει ήλιο.",
    "he": "היום יורד גשם, אבל מחר יהיה שמשי.",
    "ar": "اليوم تمطر السماء ولكن غدا سيكون مشمسا.",
    "hi": "आज बारिश हो रही है, लेकिन कल धूप निकलेगी।",
    "th": "วันนี้ฝนตกแต่พรุ่งนี้จะมีแดด",
    "zh": "今天的会议改在下午三点举行，请大家准时参加。",
    "tw": "今天的會議改在下午三點舉行，請大家準時參加。",
    "ja": "今日は雨が降っていますが、明日は晴れるでしょう。",
    "ko": "오늘은 비가 오지만 내일은 맑을 것입니다.",
    "vi": "Hôm nay trời mưa nhưng ngày mai trời sẽ nắng.",
    "signs": "x² ≤ ½ · naïve Ångström, 5 µm ± 2 %, A → B, 👩‍🔧 ﬁne ｆｕｌｌ “quotes”…",
}
ENCODED = [
    *(("en", name) for name in ("cp1252", "mac-roman")),
    *(("de", name) for name in ("cp1252", "iso8859-15", "cp850")),
    *(("fr", name) for name in ("cp1252", "iso8859-1")),
    *(("es", name) for name in ("cp1252", "iso8859-1")),
    *(("pl", name) for name in ("cp1250", "iso8859-2")),
    *(("cs", name) for name in ("cp1250", "iso8859-2")),
    *(("tr", name) for name in ("cp1254", "iso8859-9")),
    *(("ru", name) for name in ("cp1251", "koi8-r", "cp866", "iso8859-5", "utf-16-le", "utf-16-be")),
    *(("uk", name) for name in ("cp1251", "koi8-u")),
    *(("el", name) for name in ("cp1253", "iso8859-7")),
    *(("he", name) for name in ("cp1255", "iso8859-8")),
    *(("ar", name) for name in ("cp1256", "iso8859-6")),
    ("th", "cp874"),
    *(("zh", name) for name in ("gb18030", "utf-16-le")),
    ("tw", "big5"),
    *(("ja", name) for name in ("shift_jis", "euc_jp", "iso2022_jp", "utf-16-be")),
    *(("ko", name) for name in ("cp949", "utf-16-be")),
]


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def pairs(path: Path) -> list[tuple[str, str]]:
    return [(document.metadata["section"], document.page_content) for document in load_documents(path)]


def text(path: Path) -> str:
    return "\n\n".join(document.page_content for document in load_documents(path))


def refusal(path: Path) -> str:
    with pytest.raises(DocumentError) as caught:
        load_documents(path)
    return caught.value.reason


# encodings


@pytest.mark.parametrize(("language", "encoding"), ENCODED)
def test_a_single_sentence_is_decoded(language: str, encoding: str) -> None:
    assert text_in(LANGUAGES[language].encode(encoding)) == LANGUAGES[language]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_decoded(language: str, encoding: str) -> None:
    assert text_in(LANGUAGES[language].encode(encoding)) == LANGUAGES[language]


def test_what_a_page_declares_decides_where_it_is_no_utf8() -> None:
    page = '<meta http-equiv="Content-Type" content="text/html; charset=windows-1257"><p>\u0160\u012bs</p>'
    assert encoding_in(page.encode("cp1257")) == "windows-1257"
    assert encoding_in(page.encode()) == "utf-8"  # the declaration is wrong
    feed = '<?xml version="1.0" encoding="Shift_JIS"?><a>\u5c71</a>'
    assert text_in(feed.encode("cp932")) == feed


def test_a_few_bad_bytes_do_not_change_the_encoding() -> None:
    assert text_in("日本語の文章。".encode() * 20 + b"\xff") == "日本語の文章。" * 20 + "\ufffd"


def test_line_ends_and_zero_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "old mac.txt", b"one\rtwo\r\nthree\nfo\0ur")
    assert text(path) == "one\ntwo\nthree\nfour"


def test_a_line_of_a_million_characters(tmp_path: Path) -> None:
    assert text(write(tmp_path / "a.log", "word " * 200_000)) == "word " * 200_000


@given(st.lists(st.sampled_from(list(LANGUAGES.values())), min_size=1), st.sampled_from(["\n", " ", "\n\n"]))
def test_text_that_is_right_is_left_as_it_is(sentences: list[str], between: str) -> None:
    whole = between.join(sentences)
    assert mended(whole) == whole


@pytest.mark.parametrize("language", ["de", "fr", "es", "ru", "ja"])
def test_text_that_was_decoded_wrongly_is_mended(language: str) -> None:
    right = LANGUAGES[language]
    wrong = right.encode().decode("cp1252", "ignore") if language == "de" else right.encode().decode("latin-1")
    assert mended(f"{LANGUAGES['he']}\n{wrong}\n") == f"{LANGUAGES['he']}\n{right}\n"


# kinds


def test_a_file_is_read_as_what_it_is_whatever_its_name_says(tmp_path: Path) -> None:
    page = "<!DOCTYPE html><html><body><h1>Top</h1><p>Text.</p></body></html>"
    assert kind_of(write(tmp_path / "a.doc", page)) == ".html"
    assert kind_of(write(tmp_path / "a.txt", page)) == ".html"
    assert kind_of(write(tmp_path / "a.php", page)) == ".php"
    assert kind_of(write(tmp_path / "b.doc", r"{\rtf1 text}")) == ".rtf"
    assert kind_of(write(tmp_path / "c.doc", "Only words.")) == ".txt"
    assert kind_of(write(tmp_path / "a.xls", "name\tage\nAnn\t7\n")) == ".csv"
    assert kind_of(write(tmp_path / "b.txt", "%PDF-1.4\n")) == ".pdf"
    assert kind_of(write(tmp_path / "c.txt", "A PDF begins with %PDF-1.4.")) == ".txt"
    assert kind_of(write(tmp_path / "c.pdf", "junk\n%PDF-1.4")) == ".pdf"
    assert kind_of(write(tmp_path / "a.md", "Subject: x\nFrom: y\n")) == ".md"
    assert pairs(tmp_path / "a.doc") == pairs(tmp_path / "a.txt") == [("Top", "Top\n\nText.")]
    assert pairs(tmp_path / "a.xls") == [("row 1", "name: Ann\nage: 7")]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("Just some words.", ".txt"),
        ('<?xml version="1.0"?><a>x</a>', ".xml"),
        ("From: Ann <a@example.org>\nSubject: Hi\n\nText.", ".eml"),
        ("From a@example.org Mon Jun 01 10:00:00 2009\nSubject: Hi\n\nText.", ".mbox"),
        ("WEBVTT\n\n00:00.000 --> 00:01.000\nHi.", ".vtt"),
        ("1\n00:00:00,000 --> 00:00:01,000\nHi.", ".srt"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(40), ".png"),
        (gzip.compress(b"text"), ".gz"),
    ],
)
def test_a_file_without_a_suffix_shows_its_kind(tmp_path: Path, content: str | bytes, kind: str) -> None:
    assert kind_of(write(tmp_path / "README", content)) == kind


@pytest.mark.parametrize(
    ("part", "kind"),
    [("word/document.xml", ".docx"), ("ppt/presentation.xml", ".pptx"), ("xl/workbook.xml", ".xlsx"), ("x", ".zip")],
)
def test_archives_are_told_by_their_parts(tmp_path: Path, part: str, kind: str) -> None:
    for name in ("a", "a.txt", "a.doc"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("[Content_Types].xml", "")
            archive.writestr(part, "")
        assert kind_of(tmp_path / name) == kind
    (tmp_path / "a").rename(tmp_path / "a.jar")
    assert kind_of(tmp_path / "a.jar") == (".jar" if kind == ".zip" else kind)


def test_what_is_damaged_keeps_its_name_s_kind(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.docx", "w") as archive:
        archive.writestr("word/document.xml", "x" * 500)
    whole = (tmp_path / "a.docx").read_bytes()
    broken = write(tmp_path / "b.docx", whole.replace(b"PK\1\2", b"PK\1\0"))
    assert zipfile.is_zipfile(broken)
    assert kind_of(broken) == ".docx"
    ole = bytes.fromhex("d0cf11e0a1b11ae1")
    assert kind_of(write(tmp_path / "a.xls", ole + bytes(600))) == ".xls"
    assert kind_of(write(tmp_path / "a.msg", ole)) == ".msg"


def test_what_is_not_text_has_no_reader(tmp_path: Path) -> None:
    files = [("a.mp3", b"ID3\4\0\0" + bytes(90)), ("a", b"\x7fELF\2\1\1" + bytes(90)), ("key.pem", b"-----BEGIN")]
    for name, content in files:
        kind = kind_of(write(tmp_path / name, content))
        assert kind not in SUFFIXES
        assert refusal(tmp_path / name) == f"no reader for {kind}"


# pages and tables


def test_a_page_without_what_surrounds_it(tmp_path: Path) -> None:
    page = """<body><div class="cookie-banner">We use cookies.</div><div role="navigation"><a>Home</a></div>
      <ul class="main-menu"><li>Products</li></ul><main class="has-sidebar"><h1>Oil</h1><p>Change it every year,
      and check its level each month before a long journey; cold oil tells more than warm oil does.</p>
      <p hidden>secret</p><p style="display: none">secret</p><span aria-hidden="true">#</span></main>
      <div id="sidebar">Ads</div></body>"""
    (found,) = pairs(write(tmp_path / "a.html", page))
    assert found[0] == "Oil"
    assert found[1].startswith("Oil\n\nChange it every year, and check")
    assert found[1].endswith("than warm oil does.")


def test_a_page_that_is_all_menu_keeps_its_text(tmp_path: Path) -> None:
    assert text(write(tmp_path / "a.html", "<div class='menu'><p>Soup</p><p>Fish</p></div>")) == "Soup\n\nFish"


def test_each_row_of_a_page_s_table_carries_its_header(tmp_path: Path) -> None:
    table = """<table><tr><th rowspan=2>City<th colspan=2>People</tr><tr><th>2019<th>2020</tr>
      <tr><td rowspan=2>Bern<td>1<td>2</tr><tr><td>3<td></tr><tr><th>Rome<td colspan=2>4</tr></table>"""
    assert text(write(tmp_path / "a.html", table)).split("\n") == [
        "City: Bern | People 2019: 1 | People 2020: 2",
        "City: Bern | People 2019: 3",
        "City: Rome | People 2019: 4",
    ]


def test_a_table_without_a_header_keeps_its_cells(tmp_path: Path) -> None:
    assert text(write(tmp_path / "a.csv", "1,2\n3,4\n")) == "column 1: 1\ncolumn 2: 2\n\ncolumn 1: 3\ncolumn 2: 4"
    assert text(write(tmp_path / "a.psv", "a|b\n1|2\n")) == "a: 1\nb: 2"


def test_places_are_records_without_their_outlines(tmp_path: Path) -> None:
    features = [
        {"type": "Feature", "properties": {"name": "Bern"}, "geometry": {"type": "Point", "coordinates": [7.4, 46.9]}},
        {
            "type": "Feature",
            "properties": {"name": "Aare"},
            "geometry": {"type": "LineString", "coordinates": [[1, 2]]},
        },
    ]
    path = write(tmp_path / "a.geojson", json.dumps({"type": "FeatureCollection", "features": features}))
    assert pairs(path) == [
        ("record 1", "name: Bern\ngeometry: Point\ncoordinates: 7.4, 46.9"),
        ("record 2", "name: Aare\ngeometry: LineString"),
    ]


# XML


def test_a_feed_has_a_stretch_an_item(tmp_path: Path) -> None:
    feed = """<?xml version="1.0" encoding="UTF-16"?><rss version="2.0"><channel><title>News</title>
      <item><title>One</title><description>&lt;p&gt;First &lt;b&gt;of all&lt;/b&gt;.&lt;/p&gt;</description></item>
      <item><title>Two</title><enclosure url="a.mp3"/></item></channel></rss>"""
    assert pairs(write(tmp_path / "a.rss", feed)) == [
        ("", "version: 2.0\nchannel.title: News"),
        ("One", "title: One\ndescription: First of all."),
        ("Two", "title: Two\nenclosure url: a.mp3"),
    ]


def test_prose_in_xml_keeps_paragraphs_and_titles(tmp_path: Path) -> None:
    inner = "<sec><title>Age</title><p>Old.</p></sec>"
    book = f"<book><sec><title>Oil</title><p>It is <i>very</i> black.</p>{inner}</sec></book>"
    assert pairs(write(tmp_path / "a.xml", book)) == [("Oil", "Oil\n\nIt is very black."), ("Oil > Age", "Age\n\nOld.")]


# mail


def test_a_mailbox_has_a_stretch_a_mail(tmp_path: Path) -> None:
    box = mailbox.mbox(tmp_path / "a.mbox")
    for number in (1, 2):
        mail = EmailMessage()
        mail["Subject"], mail["From"] = f"Mail {number}", "ann@example.org"
        mail.set_content(f"Text {number}.\n\nFrom here it goes on.\n")
        box.add(mailbox.mboxMessage(mail))
    box.close()
    assert pairs(tmp_path / "a.mbox") == [
        (f"Mail {n}", f"Subject: Mail {n}\nFrom: ann@example.org\n\nText {n}.\n\nFrom here it goes on.") for n in (1, 2)
    ]


def test_a_page_saved_as_one_file(tmp_path: Path) -> None:
    mail = EmailMessage()
    mail["From"], mail["Snapshot-Content-Location"] = "<Saved by Blink>", "https://example.org/"
    mail.set_content("<h1>Top</h1><p>Grüße.</p>", subtype="html", cte="quoted-printable")
    mail.make_related()
    assert pairs(write(tmp_path / "a.mhtml", bytes(mail))) == [("Top", "Top\n\nGrüße.")]
    assert kind_of(write(tmp_path / "saved", bytes(mail))) == ".mhtml"


# notes


def test_a_notebook_is_read_in_the_order_of_its_cells(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Oil\n", "Intro.\n", "## Price"]},
        {"cell_type": "code", "source": "print(1)", "outputs": [{"output_type": "stream", "text": ["1\n"]}]},
        {"cell_type": "code", "source": "x", "outputs": [{"data": {"text/plain": "2", "image/png": "AAAA"}}]},
        {"cell_type": "code", "source": "1/0", "outputs": [{"traceback": ["\x1b[31mZeroDivisionError\x1b[0m"]}]},
    ]
    path = write(tmp_path / "a.ipynb", json.dumps({"cells": cells, "nbformat": 4}))
    assert pairs(path) == [
        ("Oil", "Oil\n\nIntro."),
        ("Oil > Price", "Price\n\nprint(1)\n\n1\n\nx\n\n2\n\n1/0\n\nZeroDivisionError"),
    ]
    assert refusal(write(tmp_path / "b.ipynb", "[]")) == "not a Jupyter notebook"


def test_subtitles_are_speech_by_the_minute(tmp_path: Path) -> None:
    vtt = (
        "WEBVTT - Tea\n\nSTYLE\n::cue {}\n\n1\n00:01.000 --> 00:03.000 align:start\n<v Ann>Good <i>day</i>.</v>\n\n"
        "00:02.000 --> 00:04.000\nGood day, Bo.\n\n01:02:03.000 --> 01:02:04.000\nThe end.\n"
    )
    srt = "1\n00:00:01,000 --> 00:00:03,000\nHello.\n\n2\n00:00:03,500 --> 00:00:05,000\nHello.\nBye.\n"
    assert pairs(write(tmp_path / "a.vtt", vtt)) == [
        (
            "00:00:00",
            "Tea\n00:01.000 --> 00:03.000 align:start\nAnn: Good day.\n00:02.000 --> 00:04.000\nGood day, Bo.",
        ),
        ("01:02:03", "01:02:03.000 --> 01:02:04.000\nThe end."),
    ]
    timed = "00:00:01,000 --> 00:00:03,000\nHello.\n00:00:03,500 --> 00:00:05,000\nBye."
    assert pairs(write(tmp_path / "a.srt", srt)) == [("00:00:01", timed)]


def test_notes_of_an_export(tmp_path: Path) -> None:
    notes = """<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE en-export SYSTEM "http://example.org/x.dtd"><en-export>
      <note><title>Tea</title><content><![CDATA[<!DOCTYPE en-note><en-note><div>Hot.</div><h1>Cup</h1><div>Big.</div>
      </en-note>]]></content><created>20240501T100000Z</created><tag>kitchen</tag></note></en-export>"""
    assert pairs(write(tmp_path / "a.enex", notes)) == [
        ("Tea", "Tea\n\nCreated: 20240501\nTags: kitchen\n\nHot."),
        ("Tea > Cup", "Cup\n\nBig."),
    ]


def test_the_packed_rtf_of_an_outlook_message() -> None:
    from compressed_rtf import compress

    from loaders.formats.outlook import rtf_text

    assert rtf_text(compress(rb"{\rtf1\ansi\ansicpg1252 Gr\'fc\'dfe aus K\'f6ln.\par}")) == "Grüße aus Köln."
