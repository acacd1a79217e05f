"""A header and how the model is to be loaded come in; the bytes that llama.cpp takes on each device go out.

Every formula names the place in llama.cpp (as llama-cpp-python 0.3.36 brings it) that it follows. llama.cpp can tell
more exactly itself, by a dry run (no_alloc), but only for devices that are there and a file that may be trusted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from inference.gguf_header import Header
from inference.loading import Loading

MICRO_BATCH = 512  # n_ubatch, the most prompt tokens in one graph: Llama()'s default
CELLS = 256  # llama_context pads n_ctx to it, llama_kv_cache_iswa a window
BYTES = {"f16": (1, 2), "q8_0": (32, 34)}  # cache type → elements and bytes of a block


@dataclass(frozen=True)
class Use:
    """Bytes that one device holds; `layers` counts the output layer as one, as llama.cpp does."""

    device: str  # CPU, GPU0, GPU1, …
    layers: int
    weights: int
    kv_cache: int
    compute: int  # the largest graph's intermediate values
    output: int  # logits, and the copy that llama-cpp-python keeps of them for every token of a batch

    @property
    def total(self) -> int:
        """Return the sum."""
        return self.weights + self.kv_cache + self.compute + self.output


def memory(header: Header, loading: Loading, *, users: int = 1, gpus: Sequence[int] = ()) -> tuple[Use, ...]:
    """Return what the CPU and each GPU hold, the CPU first; `users` have a context of loading.context_tokens each.

    `gpus` are the GPUs' free bytes: layers are shared out in proportion to them (llama_model_base::load_tensors).
    """
    layers = header.layers + 1
    asked = loading.gpu_layers if gpus else 0
    on_gpu = layers if asked < 0 else min(asked, layers)
    places = _places(layers, on_gpu, gpus)
    weights = [0] * (1 + len(gpus))
    for place, size in zip((*places, 0), header.layer_bytes, strict=True):  # the input stays on the CPU (dev_input)
        weights[place] += size
    # A model without an output matrix uses the input embedding, which a GPU then has a copy of (TENSOR_DUPLICATED).
    if places[-1] and header.is_tied:
        weights[places[-1]] += header.layer_bytes[-1]
    batch = loading.batch_size(on_gpu > 0)
    caches, compute = [0] * len(weights), compute_bytes(header, loading, batch, places, len(weights))
    for place, size in zip(places, layer_caches(header, loading, min(batch, MICRO_BATCH)), strict=False):
        caches[place] += size * users
    # llama_context::output_reserve, and Llama.scores
    output = 4 * header.vocabulary * (users + batch)
    return tuple(
        Use(f"GPU{n - 1}" if n else "CPU", places.count(n), weights[n], caches[n], compute[n], 0 if n else output)
        for n in range(len(weights))
    )


def _places(layers: int, on_gpu: int, gpus: Sequence[int]) -> list[int]:
    """Return the place of each layer, the output layer last: 0 the CPU, then the GPUs (get_layer_buft_list)."""
    first = layers - on_gpu
    bounds = [bound / (sum(gpus) or 1) for bound in accumulate(gpus)]
    found = []
    for layer in range(layers):
        share = (layer - first) / on_gpu if on_gpu else 0
        found.append(0 if layer < first else 1 + sum(bound <= share for bound in bounds[:-1]))
    return found


def context_cells(context_tokens: int) -> int:
    """Return how many tokens a context really holds (GGML_PAD of n_ctx in llama_context)."""
    return -(-context_tokens // CELLS) * CELLS


def window_cells(header: Header, loading: Loading, micro_batch: int) -> int:
    """Return the tokens that a sliding layer keeps: all with swa_full, else llama_kv_cache_iswa's size_swa."""
    cells = context_cells(loading.context_tokens)
    return cells if loading.full_window else min(cells, context_cells(header.sliding_window + micro_batch))


def layer_caches(header: Header, loading: Loading, micro_batch: int) -> list[int]:
    """Return the bytes of keys and values for one user, a layer each (llama_kv_cache).

    MHA, GQA and MQA differ by their KV heads only. Without flash attention the values lie transposed and are as
    wide in every layer as in the widest (n_embd_v_gqa_max).
    """
    elements, size = BYTES[loading.cache_type]
    values = [heads * header.value_size for heads in header.kv_heads]
    if not loading.uses_flash_attention:
        values = [max(values)] * len(values) if values else []
    cells = {False: context_cells(loading.context_tokens), True: window_cells(header, loading, micro_batch)}
    return [
        (heads * header.key_size + width) * cells[slides] // elements * size
        for heads, width, slides in zip(header.kv_heads, values, header.sliding, strict=True)
    ]


def compute_bytes(header: Header, loading: Loading, batch: int, places: Sequence[int], devices: int) -> list[int]:
    """Return the compute buffer of each device: the most that its part of the graph has alive at once.

    The graph allocator (ggml-alloc.c) reuses what is no longer read, so the worst of three moments counts:
    attention, feed-forward, output. What is alive at each was found by dry runs: benchmarks/model.md compares them.
    """
    cells, flash = context_cells(loading.context_tokens), loading.uses_flash_attention
    tokens = min(batch, MICRO_BATCH, cells)
    mask = cells * (2 if flash else 4) * (2 if any(header.sliding) else 1)
    queries, kv = header.heads * header.key_size, max(header.kv_heads, default=0)
    attention = mask + 4 * (2 * header.hidden + 3 * queries + kv * (header.key_size + header.value_size))
    if any(header.sliding):  # Gemma's norm after attention
        attention += 4 * header.hidden
    if not flash:
        attention += 4 * header.heads * cells  # the scores of every head
    wide = header.feed_forward * max(1, header.experts_used)
    quantised = loading.cache_type != "f16"  # whose rotation moves what lies where
    layer = max(attention, mask + 4 * (3 * wide + (3 if quantised else 4) * header.hidden))
    output = 4 * (header.vocabulary + (3 if quantised else 2) * header.hidden)
    found = [0] * devices
    for n in range(devices):
        arrived = 4 * header.hidden if n else 0  # a GPU has one of the layer's inputs as a copy outside this buffer
        moments = ([layer] if n in places[:-1] else []) + ([output] if n == places[-1] else [])
        found[n] = max((moment - arrived for moment in moments), default=0) * tokens
    if 0 not in places:  # the input embedding, the masks and, transposed, where each value goes are made there
        indices = 0 if flash else 8 * kv * header.value_size * (2 if any(header.sliding) else 1)
        found[0] = (mask + 8 * header.hidden + indices) * tokens
    elif any(places):  # CUDA multiplies large batches by weights of the CPU, copied a tensor at a time (op_offload)
        found[next(filter(None, places))] += header.largest_bytes
    return found
