"""Bytes that say nothing of their encoding, nor are UTF-8, come in; their likeliest encoding goes out.

Each candidate that decodes the bytes is scored by how much its text looks like writing: words of one script, capitals
where they belong, the script's frequent letters. charset-normalizer (3.5), asked alone, takes short Russian for Hebrew
and short Chinese for Korean.
"""

import re
import unicodedata
from collections.abc import Iterator

SAMPLE = 6_000  # characters other than ASCII that are looked at: enough to tell, and soon read
ENOUGH = 0.35  # of 1: a lower score is asked of charset-normalizer too
WORD = re.compile(r"[^\W\d_²³¹½¼¾]+")
STRANGE = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffd\uff61-\uff9f\ue000-\uf8ff\u2500-\u25ff¬¤¦¯¸ƒ‡ˆ]")
USUAL_SIGNS = frozenset("“”„‘’‚–—…«»‹›€£©®™°§•·¿¡ºª№、。，；：？！（）《》「」『』【】・ー　\u00a0×½²³±µ")
CYRILLIC, GREEK = "оеаинтсрвлкмдпуяыьгзбчйі", "αοιετσνηυρπκμλςόίάέήύώ"
ARABIC = "اليمونرتبعدهسفقكحجةأى"
WESTERN = "äöüßéèêàâçùûîïôœñáíóúãõåæøìòëÄÖÜÉÀÇÑÅÆØ"
CENTRAL = "ąćęłńóśźżáčďéěíňřšťúůýžőűăâîşţđäöüôľßéŁŚŻŽŠČÁ"
SIMPLE = (
    "的一是不了在人有我他这中大来上个国到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方"
    "又如前所本见经头面公同三已老从动两长知民样现分将外但身些与高意进把法此实回二理美点月明其种声全工己话者向情部正名定女问力机给等几很业最间新什打位因重被电第门相次东政"
    "海口使教西再平真世气信北少关并内加化由代军产入先山五水万市"
)
FULL = (
    "的一是不了在人有我他這中大來上個國到說們為子和你地出道也時年得就那要下以生會自著去之過家學對可她裡後小麼心多天而能好都然沒日於起還發成事只作當想看文無開手十用主行方"
    "又如前所本見經頭面公同三已老從動兩長知民樣現分將外但身些與高意進把法此實回二理美點月明其種聲全工己話者向情部正名定女問力機給等幾很業最間新什打位因重被電第門相次東政"
    "海口使教西再平真世氣信北少關並內加化由代軍產入先山五水萬市"
)
HANGUL = (
    "이다는에의을가하고기지도로사한은를자리서정대어나해인아일수시"
    "그있주보들상전부장구라성과관제조원국동만안여오니문년습합세요"
)
KANA = "".join(map(chr, range(0x3041, 0x30FB)))
CANDIDATES = {  # encoding → the letters that are frequent in it; the first of equals wins
    "cp932": KANA, "euc_jp": KANA, "gb18030": SIMPLE, "big5hkscs": FULL, "cp949": HANGUL,
    "cp1252": WESTERN, "iso8859-15": WESTERN, "cp1250": CENTRAL, "iso8859-2": CENTRAL,
    "cp1251": CYRILLIC, "koi8-u": CYRILLIC, "cp866": CYRILLIC, "iso8859-5": CYRILLIC, "mac-cyrillic": CYRILLIC,
    "cp1253": GREEK, "iso8859-7": GREEK, "cp1254": "ışğçöüİŞĞÇÖÜâî", "cp1257": "āčēģīķļņšūžąęėįųõäöü",
    "cp1255": "יוהלארתבשמנםדקעחפכ", "cp1256": ARABIC, "iso8859-6": ARABIC, "cp874": "านรกอเงมยลวดทสตะปบคหแจพชขใไ",
    "cp850": WESTERN, "cp852": CENTRAL, "mac-roman": WESTERN,
}  # fmt: skip
RARE, DISCOUNT = (
    frozenset({"cp850", "cp852", "mac-roman", "mac-cyrillic"}),
    0.65,
)  # most text that would do as these is cp1252
IDEOGRAPHIC = frozenset({"cp932", "euc_jp", "gb18030", "big5hkscs", "cp949"})


def guess_encoding(data: bytes) -> str:
    """Return the encoding in which the bytes make most sense; "" where they make none."""
    from charset_normalizer import from_bytes

    sample = _telling(data)
    scores = {name: score for name in CANDIDATES if (score := _score(sample, name)) > 0 and _decodes(data, name)}
    best = max(scores, key=scores.__getitem__, default="")
    if not best or scores[best] < ENOUGH:
        other = from_bytes(data).best()
        return best or (other.encoding if other else "")
    return best


def _telling(data: bytes) -> bytes:
    """Return the lines that are not plain ASCII, as far as they are needed."""
    lines, size = [], 0
    for line in data.splitlines(keepends=True):
        if not line.isascii():
            lines.append(line)
            size += len(line)
        if size > SAMPLE:
            break
    return b"".join(lines)


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _score(data: bytes, encoding: str) -> float:
    """Return how much the bytes look like text in this encoding: 1 at best, 0 or less where they don't."""
    if not _decodes(data, encoding):
        return 0.0
    text, frequent = data.decode(encoding), CANDIDATES[encoding]
    foreign = [letter for letter in text if letter > "\x7f"]
    if not foreign:
        return 0.0
    if encoding in IDEOGRAPHIC:
        points = sum(_ideographic(letter, frequent) for letter in foreign)
    else:
        points = sum(_points(text, frequent.lower()))
    score = (points - 3 * len(STRANGE.findall(text))) / len(foreign)
    return score * DISCOUNT if encoding in RARE else score


def _ideographic(letter: str, frequent: str) -> float:
    return 1.0 if letter in frequent else 0.5 if letter in USUAL_SIGNS or "\uff01" <= letter <= "\uff5e" else 0.0


def _points(text: str, frequent: str) -> Iterator[float]:
    """Yield what each foreign sign, and each word with foreign letters, speaks for or against an alphabet."""
    for match in WORD.finditer(text):
        word = match.group()
        if word.isascii():
            continue
        foreign = [letter for letter in word if letter > "\x7f"]
        regular = word.islower() or word.isupper() or word[1:].islower() or word.lower() == word.upper()
        scripts = {_script(letter) for letter in word}
        latin = "LATIN" in scripts  # in which words have plain letters too, and capitals don't stand alone
        odd = latin and (len(foreign) == len(word) > 2 or (len(word) == 1 and word.isupper()))
        if len(scripts) > 1 or not regular or odd:
            yield -1.0 * len(foreign)
        elif len(word) == 1 and not latin:
            yield 0.5  # what is £ to one code page is a letter to another
        else:
            yield sum(1.0 if letter.lower() in frequent else 0.2 for letter in foreign)
    for at, letter in enumerate(text):
        if letter > "\x7f" and not letter.isalpha() and not unicodedata.combining(letter):
            inside = text[max(at - 1, 0) : at].isalpha() and text[at + 1 : at + 2].isalpha() and letter not in "’·–—"
            yield -1.0 if inside else 0.7 if letter in USUAL_SIGNS else -0.2


def _script(letter: str) -> str:
    return unicodedata.name(letter, "?").split()[0]
