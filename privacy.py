"""Importing this module switches off every telemetry and download that the libraries below would do unasked.

It is the first import of `settings`, `loaders` and `chains`, because most of these variables are read
once, when the library is imported. To opt in to one of them, edit its line here.
"""

import os

OPT_OUTS = {
    "ANONYMIZED_TELEMETRY": "False",  # chromadb before 1.5.4
    "DO_NOT_TRACK": "1",  # unstructured 0.27 (Scarf), and whoever else honours it
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",  # hub/downloads.py lifts it while it fetches what was asked for
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_TRACING": "false",  # langsmith is a hard dependency of langchain-core
    "RAGAS_DO_NOT_TRACK": "true",
    "SCARF_NO_ANALYTICS": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "UNSTRUCTURED_DISABLE_NOTICE": "1",  # an advertisement on stdout
}
QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",  # its warning after a fork; our batches keep the cores busy anyway
    "TRANSFORMERS_VERBOSITY": "error",
}

os.environ.update(OPT_OUTS | QUIET)
# llama.cpp's threads wait for each other by spinning: with two programs on two cores an answer took minutes instead of
# seconds. GNU OpenMP reads this when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
