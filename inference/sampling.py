"""One llama.cpp context comes in with a prompt's tokens; the text that its model goes on with goes out, in pieces."""

import codecs
import ctypes
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from errors import ModelError
from inference.engine import Engine
from inference.prefix import evaluate_prompt
from inference.repetition import until_loop

if TYPE_CHECKING:
    from llama_cpp.llama_grammar import LlamaGrammar


@dataclass
class Tally:
    """Count one generation."""

    output_tokens: int = 0
    finish_reason: str = "stop"


def generate_pieces(
    engine: Engine, prompt: list[int], tally: Tally, *, max_tokens: int, seed: int, **sampling: Any
) -> Iterator[str]:
    """Sample up to max_tokens tokens after prompt; yield a piece of text, perhaps empty, at every step.

    sampling: temp, top_p, grammar as Llama.generate takes them. Run it in its turn (engine.turns). Text that goes round
    ends, its repeats cut off, except under a grammar, which may want them.
    """
    engine.llama.set_seed(seed)
    for _ in evaluate_prompt(engine, prompt):
        yield ""
    sampled = _sample(engine, prompt, tally, max_tokens, sampling)
    if sampling.get("grammar"):
        yield from (piece for _, piece in sampled)
    elif (yield from until_loop(sampled)):
        tally.finish_reason = "repetition"


def _sample(
    engine: Engine, prompt: list[int], tally: Tally, max_tokens: int, sampling: dict[str, Any]
) -> Iterator[tuple[int, str]]:
    """Yield each token with the text that it completes; the last one, -1, is none."""
    import llama_cpp

    decoder, buffer = codecs.getincrementaldecoder("utf-8")("replace"), ctypes.create_string_buffer(1024)
    vocab = llama_cpp.llama_model_get_vocab(engine.llama.model)
    # repeat_penalty stays 1.0: no sampler ended a loop, and a penalty makes the model misquote (benchmarks/README.md).
    generated = engine.llama.generate(prompt, repeat_penalty=1.0, **sampling)
    for token in islice(generated, max_tokens):
        if llama_cpp.llama_vocab_is_eog(vocab, token):
            break
        tally.output_tokens += 1
        # Not Llama.detokenize: 0.3.36 silently drops pieces of more than 32 bytes (long rules, deep indents).
        size = llama_cpp.llama_token_to_piece(vocab, llama_cpp.llama_token(token), buffer, len(buffer), 0, False)
        yield token, decoder.decode(buffer.raw[:size])
    else:
        tally.finish_reason = "length"
    yield -1, decoder.decode(b"", final=True)


def json_grammar(engine: Engine, response_format: dict[str, Any]) -> "LlamaGrammar":
    """Make the grammar of {"type": "json_object", "schema": ...}; raise ModelError where none can be made."""
    import llama_cpp
    from llama_cpp.llama_grammar import JSON_GBNF, LlamaGrammar

    schema, remedy = json.dumps(response_format.get("schema")), "Simplify the schema"
    if response_format.get("type") != "json_object":
        raise ModelError(response_format, "no such response format", 'Use {"type": "json_object", "schema": …}')
    # 0.3.36 would fetch a remote $ref over the network.
    if re.search(r'"\$ref": "(?!#)', schema):
        raise ModelError(schema[:80], "the JSON schema refers to something outside itself", remedy)
    try:
        grammar = LlamaGrammar.from_json_schema(schema) if schema != "null" else LlamaGrammar.from_string(JSON_GBNF)
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError) as error:
        raise ModelError(schema[:80], f"no grammar can be made of the JSON schema ({error})", remedy) from error
    # 0.3.36 doesn't look whether llama.cpp refused the grammar, and samples without it.
    vocab = llama_cpp.llama_model_get_vocab(engine.llama.model)
    sampler = llama_cpp.llama_sampler_init_grammar(vocab, grammar._grammar.encode(), b"root")
    if not sampler:
        raise ModelError(schema[:80], "llama.cpp refuses the grammar of the JSON schema", remedy)
    llama_cpp.llama_sampler_free(sampler)
    return grammar
