"""Compare the milliseconds of a whole search with those that plain HuggingFaceEmbeddings needs for its query alone.

    python benchmarks/latency.py FOLDER

FOLDER is in the BEIR layout; its corpus is ingested into a temporary store with the present settings. Query by query,
both run in turns on one warm process. Prints the medians, those of each step, and the peak memory.
"""

import argparse
import resource
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from langchain_huggingface import HuggingFaceEmbeddings

from chains.trace import Trace
from evaluation.collection import read_collection
from evaluation.runs import ingested
from pipeline import embedder_folder, open_index
from searching import build_finder
from settings import load_settings


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    collection = read_collection(parser.parse_args().folder)
    settings = load_settings()
    plain = HuggingFaceEmbeddings(model_name=str(embedder_folder(settings)), model_kwargs={"local_files_only": True})
    ours, theirs, steps = [], [], defaultdict(list)
    with (
        ingested(settings, collection.documents, on_progress=lambda *_: None) as corpus,
        open_index(corpus.settings) as index,
    ):
        find = build_finder(corpus.settings, index, limit=settings.top_k)
        for warm in (True, False):
            for text in collection.queries.values():
                began = time.perf_counter()
                plain.embed_query(text)
                between = time.perf_counter()
                trace = Trace()
                find.invoke({"question": text, "history": ()}, config={"callbacks": [trace]})
                ended = time.perf_counter()
                if not warm:
                    theirs.append((between - began) * 1000)
                    ours.append((ended - between) * 1000)
                    for step, milliseconds in trace.timings.items():
                        steps[step].append(milliseconds)
        print(f"{corpus.report.chunks} chunks, {len(ours)} queries")
    print(f"HuggingFaceEmbeddings, the query alone: {median(theirs):.1f} ms")
    print(f"the whole search: {median(ours):.1f} ms")
    for step, milliseconds in steps.items():
        print(f"  {step}: {median(milliseconds):.1f} ms")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB, torch included")


if __name__ == "__main__":
    main()
