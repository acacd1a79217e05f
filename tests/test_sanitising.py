"""What is shown can do no harm: no markup, no link, no address that no source holds, nothing that is not seen."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.sanitising import as_shown

SOURCE = "See https://example.org/manual for the manual."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain <b>bold</b> text", "plain bold text"),
        ("![map](http://evil.example/a.png)the map", "the map"),
        ("[the map](http://evil.example)", "the map"),
        ("read https://example.org/manual.", "read https://example.org/manual."),
        ("read https://evil.example/?q=1 now", "read  now"),
        ("read www.evil.example", "read"),
        ("0HTTP://evil.example", "0"),
        ("javascript:alert(1)", ""),
        ("(see https://example.org/manual), or not", "(see https://example.org/manual), or not"),
        ("\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07", "red link"),
        ("a\u202eb\u200bc\ufeffd\u2066e\x07f", "abcdef"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("3 < 4 and a <= b", "3 < 4 and a <= b"),
        ("as said [1][2]: so", "as said [1] [2] : so"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert as_shown(text, [SOURCE]) == shown


pieces = st.sampled_from(
    [
        *"<>b/![]()x:é1 \n",
        "script",
        "](",
        "![",
        "http://",
        "www.",
        "evil.example",
        "javascript:",
        "31m",
        *"\x1b\x9b\u202e\u200b\x00",
        "\ud800",
        "\x1b[",
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(pieces, max_size=20).map("".join)))
def test_no_text_gets_through_with_markup_links_or_what_is_not_seen(text: str) -> None:
    shown = as_shown(text, [SOURCE])
    assert not re.search(r"<[a-zA-Z/!?]", shown)
    assert "](" not in shown
    assert "![" not in shown
    assert not re.search(r"(?i)https?://\w|\bwww\.\w|\bjavascript:\w", shown)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\ufeff")
