"""Importing this module puts off what a short command would load or do for nothing; the entry script does so first.

Of some 4 s of processor time that `ask` took, these were 1.3 (benchmarks/model.md, "From the shell"). Nothing is left
out: what is put off is loaded when somebody asks for it.
"""

import atexit
import gc
import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

# Imports make many objects and no garbage, and the collector looks through all of them again and again; at the end it
# took 0.6 s to do so once more.
gc.set_threshold(100_000, 50, 100)
atexit.register(gc.freeze)


def put_off_package(name: str) -> None:
    """Let modules below an inner package be imported; its own file runs once a name of it is asked for."""
    spec = importlib.util.find_spec(name)
    if name in sys.modules or spec is None or spec.loader is None:
        return
    module, loader = importlib.util.module_from_spec(spec), spec.loader

    def load(attribute: str) -> Any:
        if attribute.startswith("__"):  # the import system asks for these
            raise AttributeError(attribute)
        del module.__dict__["__getattr__"]
        loader.exec_module(module)
        return getattr(module, attribute)

    module.__dict__["__getattr__"] = load
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    setattr(sys.modules[parent], child, module)  # as an import would


def put_off_class(module: str, name: str) -> None:
    """Let a class be imported from a module that is itself imported only when the class is called."""

    def call(*args: Any, **kwargs: Any) -> Any:
        del sys.modules[module]
        return getattr(importlib.import_module(module), name)(*args, **kwargs)

    if module not in sys.modules:
        stand_in = ModuleType(module)
        stand_in.__dict__[name] = call
        sys.modules[module] = stand_in


# langsmith 0.15 defines several hundred types of its service's API for the sake of one of them.
put_off_package("langsmith.types")
# chromadb 1.5.9 loads gRPC for traces, which it sends only where an address for them is set.
put_off_class("opentelemetry.exporter.otlp.proto.grpc.trace_exporter", "OTLPSpanExporter")
