"""Text comes in; what a model must not read in it, or a person of what a model wrote, is gone from what goes out."""

import re
from collections.abc import Iterable, Iterator, Sequence

THINK_OPENS, THINK_CLOSES = "<think>", "</think>"
# Text that nobody sees and a model reads all the same: soft hyphens, zero-width and direction marks, tag characters,
# variation selectors. Joiners stay between characters beyond ASCII, where Persian, Hindi and emoji need them.
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
    "|[\u200c\u200d](?![^\\x00-\\x7f])|(?<![^\\x00-\\x7f])[\u200c\u200d]"
)
# How the usual chat templates mark turns. A local model's own marks are known and taken out besides (chat_template.py);
# a server's are not, and it may parse them in a document.
TURN_MARK = re.compile(r"<[|｜][^\s|｜<>]{1,40}[|｜]>|</?(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>")


def harmless(text: str) -> str:
    """Return the text without invisible characters, and with a space for each mark of a chat template."""
    return TURN_MARK.sub(" ", INVISIBLE.sub("", text))


def hold_back(text: str, markers: Sequence[str]) -> int:
    """Return how many of the last characters may still turn out to begin one of the markers."""
    return max((n for m in markers for n in range(1, len(m)) if text.endswith(m[:n])), default=0)


def split_reasoning(pieces: Iterable[str], thinking: bool = False) -> Iterator[tuple[str, str]]:
    """Yield (answer, reasoning) for every piece; tags cut across pieces count, and the tags themselves go.

    thinking: whether the prompt already opened the block, as some templates do.
    """
    held, started = "", not thinking
    for piece in pieces:
        held += piece
        parts: tuple[list[str], list[str]] = ([], [])
        tag = THINK_CLOSES if thinking else THINK_OPENS
        while tag in held:
            before, _, held = held.partition(tag)
            parts[thinking].append(before)
            thinking, started = not thinking, False
            tag = THINK_CLOSES if thinking else THINK_OPENS
        ready = len(held) - hold_back(held, (tag,))
        parts[thinking].append(held[:ready])
        held = held[ready:]
        # Qwen3 puts two line breaks between </think> and the answer.
        answer = "".join(parts[0]) if started else "".join(parts[0]).lstrip()
        started = started or bool(answer)
        yield answer, "".join(parts[1])
    yield ("", held) if thinking else (held, "")


def cut_at_stop(parts: Iterable[tuple[str, str]], stop: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pass (answer, reasoning) on until the answer reaches the earliest stop string, which is not yielded."""
    held = ""
    for answer, reasoning in parts:
        held += answer
        found = [held.index(word) for word in stop if word in held]
        if found:
            yield held[: min(found)], reasoning
            return
        ready = len(held) - hold_back(held, stop)
        yield held[:ready], reasoning
        held = held[ready:]
    yield held, ""
