"""The shape of a model and a way to train it come in; the bytes that this takes on each GPU and the host go out."""

from dataclasses import dataclass, replace
from math import ceil, prod
from typing import TYPE_CHECKING

from errors import ModelError
from training.activations import LINEAR, Run, Shape, head_bytes, kept_bytes, layer_bytes, loss_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.gguf_header import Header

NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)  # a weight, its share of a block's scale and of that scale's scale
ADAM = {"adamw": 8.0, "adamw-8bit": 2 * (1 + 4 / 256)}  # bytes of both moments; 8-bit ones have a scale for 256 each


@dataclass(frozen=True)
class Memory:
    """Bytes: of one GPU, except the host's; `total` is the most at one time, less than the sum of all parts."""

    trained_parameters: int
    weights_bytes: int
    gradients_bytes: int
    optimiser_bytes: int
    activations_bytes: int
    loss_bytes: int
    total_bytes: int
    host_bytes: int
    peak: str  # when that is: at the "loss", at a "layer" that is computed again, or with all "gradients"


def read_shape(header: "Header") -> Shape:
    """Return the shape that a GGUF header tells; raise ModelError for layers that are not like Llama's."""
    parts = {tensor.name: tensor for tensor in header.tensors}
    if header.experts_used or "blk.0.ffn_gate.weight" not in parts:
        reason = f"training is planned for dense layers like Llama's, not for {header.architecture or 'this'}"
        raise ModelError(header.name or "the model", reason, "Name another model")
    names = ("layers", "hidden", "heads", "kv_heads", "key_size", "value_size", "feed_forward", "vocabulary")
    weights = sum(prod(tensor.shape) for name, tensor in parts.items() if not name.startswith("rope_"))
    sizes = {name: getattr(header, name) for name in names}
    return Shape(**sizes, parameters=weights, tied="output.weight" not in parts)


def trained_parameters(shape: Shape, run: Run) -> int:
    """Return how many numbers are trained, as peft makes them.

    LoRA: rank · (inputs + outputs) of each matrix (Hu et al. 2021). (IA)³: a factor for each key, value and inner
    number of the feed-forward (Liu et al. 2022). Prefix: keys and values in every layer (Li and Liang 2021, without
    their reparametrisation). Prompt: vectors before the first layer (Lester et al. 2021). P-tuning: these, made by
    three matrices with biases (Liu et al. 2021).
    """
    linear = [shape.linear(layer) for layer in range(shape.layers)]
    keys_values = sum(each["k"][1] + each["v"][1] for each in linear)
    prompt = run.virtual_tokens * shape.hidden
    return {
        "full": shape.parameters,
        "lora": (lora := run.rank * sum(sum(each[name]) for each in linear for name in run.targets)),
        "qlora": lora,
        "ia3": keys_values + shape.layers * shape.feed_forward,
        "prefix": run.virtual_tokens * keys_values,
        "prompt": prompt,
        "p-tuning": prompt + 3 * (shape.hidden**2 + shape.hidden),
    }[run.method]


def state_bytes(shape: Shape, run: Run) -> tuple[int, int, int]:
    """Return the bytes of weights, gradients and optimiser before anything is spread over GPUs.

    AdamW in fp32 takes 4 + 4 + (4 + 4) = 16 bytes a parameter; in mixed precision 2 + 2 + (4 + 4 + 4) = 16 too, of
    fp32 weights for the update and both moments (Micikevicius et al. 2018; Rajbhandari et al. 2020, section 3.1). So
    "16 × the model" is bytes for each parameter: 8 × the size of a bf16 file, 4 × that of an fp32 one. What is added
    to a frozen model is trained in fp32, as peft does, at 16 bytes too. QLoRA: the layers' matrices at 4.127
    bits (Dettmers et al. 2023, section 3), the rest in bf16; 8-bit moments: Dettmers et al. 2022.
    """
    trained, moments = trained_parameters(shape, run), ADAM[run.optimiser]
    if run.method == "full":
        master = 4 if run.element == 2 else 0
        return run.element * trained, run.element * trained, ceil((master + moments) * trained)
    frozen = run.element * shape.parameters
    if run.method == "qlora":
        matrices = sum(map(shape.matrices, range(shape.layers)))
        frozen = ceil(matrices * NF4_BITS / 8) + run.element * (shape.parameters - matrices)
    return frozen + 4 * trained, 4 * trained, ceil(moments * trained)


def plan_memory(shape: Shape, run: Run) -> Memory:
    """Return what training takes.

    ZeRO leaves each of N GPUs a share of the optimiser's states (stage 1), of the gradients too (2), of the weights too
    (3, which then gathers one layer at a time): 16 bytes a parameter become 4 + 12/N, 2 + 14/N, 16/N (Rajbhandari et
    al. 2020, section 5). Offload puts on the host what is shared (Ren et al. 2021; the weights: Rajbhandari et al.
    2021). Buckets, pinned copies and the CUDA context (about 0.5 GB a process) are not counted.
    """
    states = state_bytes(shape, run)
    spread = [run.zero >= stage for stage in (3, 2, 1)]
    host = sum(each for each, shared in zip(states, spread, strict=True) if shared) if run.offload else 0
    weights, gradients, optimiser = (
        (0 if run.offload else -(-each // run.gpus)) if shared else each
        for each, shared in zip(states, spread, strict=True)
    )
    kept, loss = kept_bytes(shape, run), loss_bytes(shape, run)
    largest = run.element * shape.vocabulary * shape.hidden  # bytes of the embedding
    layer = run.element * max(map(shape.matrices, range(shape.layers)))
    gathered = max(largest, layer) if run.zero == 3 else 0
    head = largest if run.method == "full" else 0
    recomputed = max(layer_bytes(shape, run, n) for n in range(shape.layers)) if run.checkpointing else 0
    earlier = gradients if run.accumulate > 1 else 0
    wide = 2 if run.method == "full" or ("lora" in run.method and "down" in run.targets) else 3
    working = run.element * run.tokens * (shape.hidden + wide * shape.feed_forward)  # what flows back in one layer
    # Without gradients of an earlier pass, these and the activations are never whole at one time.
    moments = {
        "loss": kept + max(loss, head) + earlier,
        "layer": kept - head_bytes(shape, run) + head + recomputed + working + earlier,
        # at the end a tied embedding's gradients from its two uses are added up, beside both
        "gradients": gradients + recomputed + head * (2 * shape.tied + (run.accumulate > 1)),
    }
    peak = max(moments, key=lambda name: moments[name])
    return Memory(
        trained_parameters=trained_parameters(shape, run),
        weights_bytes=weights,
        gradients_bytes=gradients,
        optimiser_bytes=optimiser,
        activations_bytes=kept + recomputed,
        loss_bytes=loss,
        total_bytes=weights + optimiser + gathered + moments[peak],
        host_bytes=host,
        peak=peak,
    )


def smaller(run: Run) -> "Iterator[tuple[str, Run]]":
    """Yield ways to need less, each with its options, the ones that change least first."""
    passes = run.batch * run.accumulate
    changes: list[tuple[str, dict[str, object]]] = [
        ("--checkpointing", {"checkpointing": True}),
        ("--optimiser adamw-8bit", {"optimiser": "adamw-8bit"}),
        (f"--batch 1 --accumulate {passes}", {"batch": 1, "accumulate": passes}),
        ("--zero 2 --offload", {"zero": 2, "offload": True}),
        ("--train lora", {"method": "lora"}),
        ("--train qlora", {"method": "qlora", "targets": LINEAR}),
    ]
    for words, change in changes:
        other = replace(run, **change)  # type: ignore[arg-type]
        if other != run and not (other.checkpointing and run.method == other.method == "prefix"):  # peft refuses it
            yield words, other
