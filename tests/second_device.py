"""A second device without a GPU: llama.cpp's RPC backend, served on loopback by one process and used by another.

Run as `-m tests.second_device serve ADDRESS` and `… load ADDRESS WEIGHTS`, in an environment whose llama.cpp has that
backend (.ci/offload makes one). Never on an open network: it trusts whoever connects.
"""

import ctypes
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llama_cpp import llama_cpp

from inference.loading import Loading

LIBRARY = llama_cpp._lib  # not the path of a libggml: a wheel holds three copies, each with devices of its own
TIGHT = 80_000_000  # bytes of a device that holds some of the packaged model
QUESTION = "Name three colours and say where each is seen."


def serve(address: str) -> None:
    """Offer this process's CPU as a device until the process is ended."""
    LIBRARY.ggml_backend_dev_by_type.restype = ctypes.c_void_p
    devices = (ctypes.c_void_p * 1)(LIBRARY.ggml_backend_dev_by_type(0))  # 0: the CPU
    start = LIBRARY.ggml_backend_rpc_start_server
    start.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p]
    start(address.encode(), None, 2, 1, devices)


def load(address: str, weights: Path) -> dict[str, Any]:
    """Ask without the device, then with it for all, twelve, no and as many layers as fit; tell how each went."""
    from inference.fitting import GPU_MARGIN, Room, fit
    from inference.gguf_header import read_header
    from inference.room import free_room

    runs = {"alone": _ask(weights, 0)}
    LIBRARY.ggml_backend_rpc_add_server.restype = ctypes.c_void_p
    LIBRARY.ggml_backend_register.argtypes = [ctypes.c_void_p]
    LIBRARY.ggml_backend_register(LIBRARY.ggml_backend_rpc_add_server(address.encode()))
    runs |= {str(layers): _ask(weights, layers) for layers in (-1, 12, 0)}
    header, room = read_header(weights), free_room()
    for name, given in (("auto", room), ("tight", Room(room.ram, (GPU_MARGIN + TIGHT,)))):
        runs[name] = _ask(weights, fit(header, loading(-1), given).loading.gpu_layers)
    return {"supported": llama_cpp.llama_supports_gpu_offload(), "free": room.gpus, "runs": runs}


def loading(layers: int) -> Loading:
    """Return how the model is loaded: with the same batch each time, since another rounds differently."""
    return Loading(layers, context_tokens=256, batch=64)


def _ask(weights: Path, layers: int) -> dict[str, Any]:
    from inference.chat_model import load_chat_model

    model = load_chat_model(weights, loading=loading(layers), max_tokens=24)
    offload = model.engine.offload
    answer = model.invoke(QUESTION).content
    model.engine.close()
    shares = {share.device: asdict(share) for share in offload.shares}
    return {"answer": answer, "said": str(offload), "shortfall": offload.shortfall, "shares": shares}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.stdout.write(json.dumps(load(sys.argv[2], Path(sys.argv[3]))) + "\n")
