"""A text comes in; without what a person would not see in it and a model would read goes out."""

import re

# Text that nobody sees and a model reads all the same: soft hyphens, zero-width and direction marks, tag characters,
# variation selectors. Joiners stay between characters beyond ASCII, where Persian, Hindi and emoji need them.
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
    "|[\u200c\u200d](?![^\\x00-\\x7f])|(?<![^\\x00-\\x7f])[\u200c\u200d]"
)
# How the usual chat templates mark turns. A local model's own marks are known and taken out besides
# (inference/chat_template.py); a server's are not, and it may parse them in a document.
TURN_MARK = re.compile(r"<[|｜][^\s|｜<>]{1,40}[|｜]>|</?(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>")


def harmless(text: str) -> str:
    """Return the text without invisible characters, and with a space for each mark of a chat template."""
    return TURN_MARK.sub(" ", INVISIBLE.sub("", text))
