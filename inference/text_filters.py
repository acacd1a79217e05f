"""Text that a model wrote comes in, in pieces; without <think> blocks and what follows a stop word it goes out."""

from collections.abc import Iterable, Iterator, Sequence

THINK_OPENS, THINK_CLOSES = "<think>", "</think>"


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
