"""A header and the memory there is come in; how best to load the model, and what would let more fit, goes out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inference.gguf_header import Header
from inference.loading import CPU_BATCH, GPU_BATCH, Loading
from inference.memory import CELLS, Use, layer_caches, memory

# Left free: on a GPU as much as llama.cpp's own fitting leaves (fit_params_target in common.h), the driver's context in
# it; in RAM what the rest of the program takes, RAG_STATES_MB among it.
GPU_MARGIN, RAM_MARGIN = 2**30, 2**29
LEAST_CONTEXT = 512  # RAG_CONTEXT_TOKENS's bound
GB = 1e9


@dataclass(frozen=True)
class Room:
    """Free bytes of RAM and of each GPU."""

    ram: int
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True)
class Fit:
    """How to load a model, what that takes, the CPU's use first, and whether it is there."""

    loading: Loading
    uses: tuple[Use, ...]
    fits: bool
    most_context: int  # tokens for which these layers leave room; 0: not even for LEAST_CONTEXT
    advice: tuple[str, ...]


def fit(header: Header, wanted: Loading, room: Room, *, users: int = 1) -> Fit:
    """Put as many layers on the GPUs as fit, then take the larger batch; context and cache type stay as asked.

    wanted.gpu_layers is not looked at. What does not fit a GPU goes to RAM; `fits` says whether that holds it.
    """
    return fit_as_asked(header, _most_layers(header, wanted, room, users), room, users=users)


def fit_as_asked(header: Header, loading: Loading, room: Room, *, users: int = 1) -> Fit:
    """Say the same of one way to load the model, its GPU layers included; a GPU's free memory is not checked."""
    uses = memory(header, loading, users=users, gpus=room.gpus)
    fits = uses[0].total + RAM_MARGIN <= room.ram
    found = Fit(loading, uses, fits, most_context(header, loading, room, users=users), ())
    return replace(found, advice=tuple(_advice(header, found, room, users)))


def most_context(header: Header, loading: Loading, room: Room, *, users: int = 1) -> int:
    """Return the longest context that fits with these layers, up to what the model was trained on; 0: none."""
    low, high = LEAST_CONTEXT // CELLS - 1, (header.context_trained or loading.context_tokens) // CELLS
    while low < high:  # bytes only grow with the context
        middle = (low + high + 1) // 2
        uses = memory(header, replace(loading, context_tokens=middle * CELLS), users=users, gpus=room.gpus)
        if uses[0].total + RAM_MARGIN <= room.ram and _gpus_hold(uses, room.gpus):
            low = middle
        else:
            high = middle - 1
    return low * CELLS if low * CELLS >= LEAST_CONTEXT else 0


def _most_layers(header: Header, wanted: Loading, room: Room, users: int) -> Loading:
    found = replace(wanted, gpu_layers=0, batch=wanted.batch or CPU_BATCH)
    for batch in ((wanted.batch,) if wanted.batch else (GPU_BATCH, GPU_BATCH // 4)) if room.gpus else ():
        for layers in range(header.layers + 1, found.gpu_layers, -1):
            tried = replace(wanted, gpu_layers=layers, batch=batch)
            if _gpus_hold(memory(header, tried, users=users, gpus=room.gpus), room.gpus):
                found = tried
                break
    return found


def _gpus_hold(uses: Sequence[Use], gpus: Sequence[int]) -> bool:
    return all(use.total + GPU_MARGIN <= free for use, free in zip(uses[1:], gpus, strict=True) if use.layers)


def _advice(header: Header, found: Fit, room: Room, users: int) -> Iterator[str]:
    """Say what does not fit, and what would have to change, with figures."""
    loading, every = found.loading, header.layers + 1
    if header.context_trained and loading.context_tokens > header.context_trained:
        yield f"The model was trained on {header.context_trained} tokens of context, and is not opened with more."
    if not found.fits:
        needed, free = (found.uses[0].total + RAM_MARGIN) / GB, room.ram / GB
        yield f"It needs {needed:.1f} GB of RAM and {free:.1f} GB are free: parts would be read from the disk, slowly."
        if found.most_context:
            yield f"A context of {found.most_context} tokens fits: RAG_CONTEXT_TOKENS={found.most_context}."
    if found.fits and (not room.gpus or loading.gpu_layers == every):
        return
    whole = memory(header, replace(loading, gpu_layers=-1), users=users, gpus=room.gpus)
    if room.gpus and loading.gpu_layers < every:
        needed = sum(use.total + GPU_MARGIN for use in whole[1:]) / GB
        yield f"All {every} layers need {needed:.1f} GB of free GPU memory; {sum(room.gpus) / GB:.1f} GB are there."
    cache = sum(use.kv_cache for use in found.uses)
    for name, change in _changes(loading):
        changed = replace(loading, **change)
        saved = cache - sum(use.kv_cache for use in memory(header, changed, users=users, gpus=room.gpus))
        layers = _most_layers(header, changed, room, users).gpu_layers
        more = f" and puts {layers} of {every} layers on the GPU" if layers > loading.gpu_layers else ""
        yield f"{name} saves {saved / GB:.2f} GB of cache{more}."
    windows = sum(layer_caches(header, replace(loading, full_window=False), loading.batch_size(on_gpu=True))) * users
    if windows < cache:
        yield (
            f"llama.cpp could keep the sliding layers' windows only, {windows / GB:.2f} GB of cache instead of "
            f"{cache / GB:.2f}; it does not here, since every follow-up would then be read anew."
        )
    margin = GPU_MARGIN if room.gpus else RAM_MARGIN
    rest = sum(use.total - use.weights + margin for use in (whole[1:] if room.gpus else found.uses))
    if (size := (sum(room.gpus) or room.ram) - rest) > 0:
        where, here = "the GPU" if room.gpus else "RAM", header.weights_bytes / GB
        yield f"Weights of {size / GB:.1f} GB would fit {where}; these, {header.quantisation}, have {here:.1f} GB."


def _changes(loading: Loading) -> Iterator[tuple[str, dict[str, Any]]]:
    if loading.cache_type == "f16":
        yield "RAG_CACHE_TYPE=q8_0", {"cache_type": "q8_0"}
    if (half := loading.context_tokens // 2) >= LEAST_CONTEXT:
        yield f"RAG_CONTEXT_TOKENS={half}", {"context_tokens": half}
