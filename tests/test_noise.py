"""Noise: dumps and debris are named, and whatever anyone might ask for stays."""

import base64
import random

import pytest

from loaders.noise import is_noise

RANDOM = random.Random(7)
BLOB = base64.b64encode(RANDOM.randbytes(600)).decode()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (". , - \n* * *", "no letters or digits"),
        ("____________", "no letters or digits"),
        ("", "no letters or digits"),
        ("Page 3 of 7", "page number"),
        ("- Seite 12 -", "page number"),
        ("第 3 页 共 7 页", "page number"),
        ("l" * 24, "one character repeated"),
        ("x x x x x x x x x x x x x x x x x x x x x x x x", "one character repeated"),
        (BLOB, "base64"),
        ("\n".join(BLOB[at : at + 76] for at in range(0, 800, 76)), "base64"),
        (RANDOM.randbytes(200).hex(), "hexadecimal dump"),
        (RANDOM.randbytes(200).hex(" "), "hexadecimal dump"),
        ("bcdfghjklmnpqrstvwxz" * 4, "letters without vowels"),
        ("(cid:12)(cid:45)(cid:7)(cid:12)(cid:45)(cid:7)", "characters without meaning"),
        ("\ue000\ue001 \ue004\ue010\ufffd 1" * 12, "characters without meaning"),
        ("~;:' ,.- _I |1 ;; .: ~~ ';,. :; -- .,' |I '; :. _- ~' ,; l:", "garbled characters"),
    ],
)
def test_noise_is_named(text: str, reason: str) -> None:
    assert is_noise(text) == reason


@pytest.mark.parametrize(
    "text",
    [
        "42",
        "answer: 42",
        "name: Ada\nborn: 1815",
        "12.5 13.1 14.9 -3.0 12 8,000 $ 34,229 $ 35,355 $ 32,184 4.1 % 1,269 1,212 5,372 4,985 435 654 456 339",
        "SKU-8841-XJ9 / KX-TG7875S / 9780306406157",
        "sha256: b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "E = mc² and ∇·E = ρ/ε₀, ∮ B·dl = μ₀I",
        "a[i] += b[j] ? c : *(d++); // {[<>]}",
        "if (!x) { y[0] |= ~z; } else { (*p)->q = &r; } /* !!! */ #{}[]();:,.<>=+-",
        "{'a': 1, 'b': [2, 3]}",
        "https://example.org/a/b?token=" + BLOB,
        "Page 3 of 7 shows the rent.",
        "Questions and answers, pages 59 to 114",
        "東京は日本の首都です。",
        "ประเทศไทยเป็นประเทศในเอเชียตะวันออกเฉียงใต้",
        "القاهرة هي عاصمة جمهورية مصر العربية وأكبر مدنها",
        "ירושלים היא עיר הבירה של מדינת ישראל",
        "शिक्षा सबके लिए",
        "科系：_________班級：______ 學號：________姓名：___________",
        "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen",
        "Strč prst skrz krk",
        "ACGTTGCAACGTAGCTAGCTAGCATCGATCGATCGATGCATGCATCGATCGATCATCGATCAGCTACGATCAGCTACGACTAGCTACGATC",
        "Introduction .................................................................... 3",
        "Yes", "No.", "π", "€5", "⠓⠑⠇⠇⠕",
        "IIIIIIII", "0000-0000-0000-0000",
        "thisIsAVeryLongCamelCaseIdentifierThatSomebodyWroteInAProgramOnceUponATime2",
    ],
)  # fmt: skip
def test_what_may_be_asked_for_stays(text: str) -> None:
    assert is_noise(text) == ""


def test_a_dump_inside_a_passage_does_not_take_it_along() -> None:
    passage = "The server's certificate is printed below, so that it can be compared by hand with the one it presents. "
    assert is_noise(passage * 2 + BLOB[:200]) == ""
    assert is_noise(f"Subject: the certificate\nFrom: Ada\n\nHere it is.\n\n{BLOB}") == ""
