"""llama.cpp's own account of the memory it would take, without taking it."""

import re
from collections import Counter
from pathlib import Path

from inference.engine import CACHE_TYPES, llama_log
from inference.loading import Loading
from inference.memory import MICRO_BATCH


def dry_run(path: Path, loading: Loading, users: int = 1) -> Counter[str]:
    """Return bytes of KV, compute and output buffers: no_alloc makes the model and its graphs but no buffer."""
    import llama_cpp

    log, _ = llama_log()
    log.clear()
    options = llama_cpp.llama_model_default_params()
    options.no_alloc, options.load_mode, options.n_gpu_layers = True, 0, loading.gpu_layers
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), options)
    assert model, "".join(log)
    chosen = llama_cpp.llama_context_default_params()
    chosen.n_ctx, chosen.n_seq_max = loading.context_tokens * users, users
    chosen.n_batch = loading.batch_size(loading.gpu_layers != 0)
    chosen.n_ubatch = min(MICRO_BATCH, chosen.n_batch)
    chosen.type_k = chosen.type_v = CACHE_TYPES[loading.cache_type]
    chosen.flash_attn_type = int(loading.flash_attention or loading.cache_type != "f16")
    chosen.swa_full = loading.full_window
    context = llama_cpp.llama_init_from_model(model, chosen)
    assert context, "".join(log)
    sizes: Counter[str] = Counter()
    for kind, found in (("kv", r"llama_kv_cache: size = +([\d.]+)"), ("compute", r" compute buffer size = +([\d.]+)")):
        sizes[kind] = round(sum(float(size) for size in re.findall(found, "".join(log))) * 2**20)
    sizes["output"] = round(sum(float(s) for s in re.findall(r"output buffer size = +([\d.]+)", "".join(log))) * 2**20)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return sizes
