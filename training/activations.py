"""The shape of a model and a way to train it come in; the bytes that PyTorch keeps for the backward pass go out.

Korthikanti et al. 2022 (arXiv 2205.05198) count a GPT layer at s·b·h·(34 + 5·a·s/h) bytes. This is the same count for
a Llama layer (RMSNorm, rotary positions, SwiGLU, no dropout, no biases) as transformers runs it with PyTorch's fused
attention, which keeps one logarithm a head instead of the a·s scores; tests/test_training_memory.py counts the bytes.
"""

from dataclasses import dataclass

ELEMENT = {"fp32": 4, "bf16": 2, "fp16": 2}  # bytes
INPUTS = {"q": "attention", "k": "attention", "v": "attention", "gate": "feed-forward", "up": "feed-forward"}
LINEAR = ("q", "k", "v", "o", "gate", "up", "down")
SOFT = ("prompt", "p-tuning")  # whose vectors make the sequence longer


@dataclass(frozen=True)
class Shape:
    """What of a model decides its memory; sizes are of one head, kv_heads one number a layer."""

    layers: int
    hidden: int
    heads: int
    kv_heads: tuple[int, ...]
    key_size: int
    value_size: int
    feed_forward: int
    vocabulary: int
    parameters: int
    tied: bool  # one matrix is both embedding and output

    def linear(self, layer: int) -> dict[str, tuple[int, int]]:
        """Return the inputs and outputs of a layer's matrices."""
        query, key = self.heads * self.key_size, self.kv_heads[layer] * self.key_size
        value, mixed = self.kv_heads[layer] * self.value_size, self.heads * self.value_size
        hidden, wide = self.hidden, self.feed_forward
        return {"q": (hidden, query), "k": (hidden, key), "v": (hidden, value), "o": (mixed, hidden)} | {
            "gate": (hidden, wide),
            "up": (hidden, wide),
            "down": (wide, hidden),
        }

    def matrices(self, layer: int) -> int:
        """Return how many weights a layer's matrices have."""
        return sum(rows * columns for rows, columns in self.linear(layer).values())


@dataclass(frozen=True)
class Run:
    """A way to train: full, lora, qlora, ia3, prefix, prompt or p-tuning; batch and length are those of one pass."""

    method: str = "full"
    rank: int = 8
    targets: tuple[str, ...] = ("q", "v")  # Hu et al. 2021
    virtual_tokens: int = 20
    batch: int = 1
    length: int = 1024
    accumulate: int = 1  # passes before an update
    checkpointing: bool = False
    precision: str = "bf16"
    optimiser: str = "adamw"
    gpus: int = 1
    zero: int = 0
    offload: bool = False

    @property
    def element(self) -> int:
        """Return the bytes of a number of the forward pass."""
        return ELEMENT[self.precision]

    @property
    def tokens(self) -> int:
        """Return the positions of one pass."""
        return self.batch * self.positions

    @property
    def positions(self) -> int:
        """Return the positions of one sequence."""
        return self.length + (self.virtual_tokens if self.method in SOFT else 0)


def layer_bytes(shape: Shape, run: Run, layer: int) -> int:
    """Return what one layer keeps.

    A norm keeps its input in fp32 and a root a token, and, where it is trained, what it makes of it twice (before and
    after its weight). Frozen matrices keep no input, but what follows them does: the fused attention its queries, keys,
    values and result; SwiGLU gate, SiLU(gate) and up.
    """
    full, size = run.method == "full", run.element
    query, mixed = shape.heads * shape.key_size, shape.heads * shape.value_size
    keys = shape.kv_heads[layer] * (shape.key_size + shape.value_size)
    # Nothing trained lies before the first layer of a frozen model, so its first norm keeps nothing.
    norms = 1 if layer == 0 and not full and run.method not in SOFT else 2
    each = norms * 4 * (shape.hidden + 1) + size * (query + keys + mixed + 3 * shape.feed_forward) + 4 * shape.heads
    if full:
        each += 2 * 2 * size * shape.hidden + size * shape.feed_forward
    elif run.method in ("lora", "qlora"):
        each += _lora(shape, run, layer)
    elif run.method == "ia3":  # keys and values before they are scaled, and what goes into down, in fp32
        each += size * keys + 4 * shape.feed_forward
    total = run.tokens * each
    if run.method == "prefix":  # transformers then gives a mask, and repeats the keys and values to all heads
        reach = run.length + run.virtual_tokens
        repeated = shape.heads * (shape.key_size + shape.value_size)
        total += size * run.batch * (reach * (repeated + run.length) - run.length * keys)
    return total


def _lora(shape: Shape, run: Run, layer: int) -> int:
    """Return the bytes a token that adapters keep: their inputs and the rank's numbers, in fp32 as peft runs them."""
    linear = shape.linear(layer)
    inputs = {INPUTS.get(name, name): linear[name][0] for name in run.targets if name != "o"}  # o's is kept anyway
    if run.element == 4:
        return 4 * (sum(inputs.values()) + run.rank * len(run.targets))
    return 4 * sum(linear[name][0] + run.rank for name in run.targets)  # a copy for each: it casts each time


def head_bytes(shape: Shape, run: Run) -> int:
    """Return what is kept outside the layers: last norm, rotary tables, token numbers, log-probabilities in fp32."""
    full = run.method == "full"
    norm = 4 * (shape.hidden + 1) + (2 * run.element * shape.hidden if full else 0)
    rotary = 2 * run.positions * shape.key_size * run.element
    return run.tokens * (norm + 4 * shape.vocabulary + 8 + 8 * full) + rotary


def kept_bytes(shape: Shape, run: Run) -> int:
    """Return what is kept for the backward pass: with checkpointing, the layers' inputs alone (Chen et al. 2016)."""
    if run.checkpointing:
        return run.tokens * shape.layers * run.element * shape.hidden + head_bytes(shape, run)
    return sum(layer_bytes(shape, run, layer) for layer in range(shape.layers)) + head_bytes(shape, run)


def loss_bytes(shape: Shape, run: Run) -> int:
    """Return what the loss needs besides, for a moment: two gradients of all log-probabilities, in fp32."""
    return 2 * 4 * run.tokens * shape.vocabulary
