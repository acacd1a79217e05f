"""Explanations, scores and what was tried come in; the tables that a person reads of them go out."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terminal import out, place

if TYPE_CHECKING:
    from chains.explain import Explanation

SHOWN = ("dense", "keyword", "fuse", "light", "rerank", "diversify")  # stages that give scores, or another order


def print_explanation(explanation: "Explanation | None") -> None:
    """Print the queries, each passage's rank and score in every stage, the milliseconds, and what was lost where."""
    from rich.table import Table
    from rich.text import Text

    if not explanation:
        return
    out.print()
    for query in explanation.queries:
        legs = " and ".join(leg for leg in ("dense", "keyword") if query[leg])
        out.print(f"query: {query['text']} (by {query['made_by']}, weight {query['weight']:g}, {legs})", markup=False)
    rows = [
        (str(p.n), place(asdict(p) | {"source": Path(p.source).name}), p.stages, p.read) for p in explanation.passages
    ]
    rows += [("", e.expected, e.stages, "") for e in explanation.expected if e.stages and e.lost_at]
    stages = [stage for stage in dict.fromkeys(stage for row in rows for stage in row[2]) if stage in SHOWN]
    table = Table("n", "passage", box=None, pad_edge=False)
    for stage in (*stages, *(["read"] if any(row[3] for row in rows) else ())):
        table.add_column(stage, no_wrap=True)
    for n, where, at, read in rows:
        cells = (f"{at[stage].rank}: {at[stage].score:.3f}" if stage in at else "–" for stage in stages)
        table.add_row(n, Text(where), *cells, *([read] if any(row[3] for row in rows) else ()))
    out.print(table, soft_wrap=False)
    times = ", ".join(f"{name.removesuffix('_ms')} {ms:g}" for name, ms in explanation.timings.items())
    out.print(f"milliseconds: {times}", markup=False)
    for each in explanation.expected:
        out.print(f"{each.expected}: {f'lost at {each.lost_at}: ' if each.lost_at else ''}{each.why}", markup=False)
        for remedy in each.remedies:
            out.print(f"  to change: {remedy}", markup=False)
        if each.lost_at and not each.remedies:
            out.print("  no setting that was tried keeps it", markup=False)


def print_models(models: Sequence[dict[str, Any]]) -> None:
    """Print the models on this machine: the name to copy and the settings that have it; below, what is known of it."""
    for model in models:
        users = ", ".join(model["used_by"])
        out.print(f"{model['name']}  ({users})" if users else model["name"], markup=False)
        told = [model["kind"], f"{model['bytes'] / 1e6:.0f} MB", model["licence"] or "no licence named"]
        told += [f"SHA-256 {model['sha256'][:12]}", f"commit {model['revision'][:12]}" if model["revision"] else ""]
        if model["fits"] is not None:
            told.append(
                f"{'fits in' if model['fits'] else 'does not fit: needs'} {model['memory'] / 1e6:.0f} MB of memory"
            )
        out.print(f"  {', '.join(filter(None, [*told, model['note']]))}", markup=False)


def print_scores(scores: dict[str, Any]) -> None:
    """Print scores a line each, without the settings that stand beside them in JSON."""
    width = max(14, *map(len, scores))
    for name, value in scores.items():
        if name != "settings":
            out.print(f"{name:>{width}}  {'–' if value is None else value}", markup=False)


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print rows as a Markdown table, aligned for the eye too; their keys are its head."""
    texts = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    texts.insert(1, ["-" * width for width in widths])
    for row in texts:
        out.print(f"| {' | '.join(text.ljust(width) for text, width in zip(row, widths, strict=True))} |", markup=False)


def print_ablation(report: dict[str, Any]) -> None:
    """Print the table of parts: what each adds to nDCG@10 against the first row, and what it costs."""
    rows = []
    for row in report["rows"]:
        compared = "difference" in row
        rows.append(
            {"part": row["part"], "setting": row["setting"], "nDCG@10": f"{row['ndcg@10']:.4f}"}
            | {"difference": f"{row['difference']:+.4f}" if compared else ""}
            | {"95 % interval": f"{row['low']:+.4f} … {row['high']:+.4f}" if compared else ""}
            | {"beyond noise": ("yes" if row["beyond_noise"] else "no") if compared else ""}
            | {"MRR@10": f"{row['mrr@10']:.4f}", "recall@10": f"{row['recall@10']:.4f}"}
            | {"ms p50": f"{row['query_ms_p50']:.1f}"}
        )
    print_table(rows)
    out.print(
        f"{report['queries']} queries, {report['documents']} documents, {report['chunks']} chunks; paired bootstrap, "
        "10,000 resamples. Of twenty such intervals about one leaves out zero by chance."
    )


def print_comparison(report: dict[str, Any]) -> None:
    """Print each metric of two evaluations with its difference, and the settings in which they differ."""
    rows = []
    for row in report["metrics"]:
        shown = {name: "–" if row[name] is None else f"{row[name]:.4f}" for name in ("a", "b")}
        rows.append(
            {"metric": row["metric"], **shown}
            | {"difference": "–" if row["difference"] is None else f"{row['difference']:+.4f}"}
            | {"95 % interval": "" if row["low"] is None else f"{row['low']:+.4f} … {row['high']:+.4f}"}
            | {"beyond noise": {None: "", True: "yes", False: "no"}[row["beyond_noise"]]}
        )
    print_table(rows)
    for name, (a, b) in report["settings"].items():
        out.print(f"{name}: {a} → {b}", markup=False)


def print_judgement(report: dict[str, Any]) -> None:
    """Print who judged and how far that agrees with people, and each metric with how many rows it could score."""
    if judge := report["judge"]:
        out.print(f"judge: {judge['name']}", markup=False)
        if judge["smoke_test"]:
            out.print("under 7 billion weights: a smoke test of the program, no evidence about the answers")
        if kept := judge["calibration"]:
            figures = f"balanced accuracy {kept['balanced_accuracy']}, kappa {kept['kappa']}"
            out.print(f"agreement with {kept['scored']} labels of {kept['claims']}: {figures}", markup=False)
        else:
            out.print("not calibrated: --calibrate CLAIMS says how far it agrees with people", markup=False)
    rows = []
    for name, found in report["metrics"].items():
        mean = "–" if found["mean"] is None else f"{found['mean']:.4f}"
        rows.append({"metric": name, "mean": mean, "scored": f"{found['scored']} of {found['of']}"})
        rows[-1] |= {"contexts cut": found["trimmed"], "not scored because": _told(found["failures"])}
    if rows:
        print_table(rows)


def _told(failures: dict[str, int]) -> str:
    return "; ".join(f"{count} {reason}" for reason, count in failures.items())


def print_made(made: dict[str, Any]) -> None:
    """Print how many questions of each type were made, tried and kept, and who wrote them."""
    print_table(
        [{"type": name, **{key: str(n) for key, n in counts.items()}} for name, counts in made["types"].items()]
    )
    names = {"rules": "rules", "model": "the model"}
    written = ", ".join(f"{count} by {names[by]}" for by, count in made["made_by"].items())
    out.print(f"{len(made['rows'])} questions: {written}. Kept is what the search finds the proof of.", markup=False)


def print_tuning(report: dict[str, Any]) -> None:
    """Print what was tried, what holds on the questions held back, and the lines for .env."""
    rows = [
        {"setting": row["setting"] or "(present)", "nDCG@10": f"{row['ndcg@10']:.4f}"}
        | {"ms p50": f"{row['query_ms_p50']:.1f}", "front": "*" if row["front"] else ""}
        for row in report["tried"]
    ]
    print_table(sorted(rows, key=lambda row: row["nDCG@10"], reverse=True))
    best, top_k, evidence = report["best"], report["top_k"], report["least_evidence"]
    shares = ", ".join(f"{k}: {share:.0%}" for k, share in top_k["hit_rate"].items())
    lines = [
        f"(on {report['train']} questions; *: none is better and as fast, or faster and as good)",
        f"On the {report['validation']} questions held back:",
    ]
    if best["setting"]:
        lines.append(f"{best['setting']}: nDCG@10 {best['present']:.4f} → {best['ndcg@10']:.4f} {_interval(best)}")
    if not (best["beyond_noise"] and best["difference"] > 0):
        lines.append("Nothing beats the present settings beyond noise; more questions make smaller gains visible.")
    lines += [
        f"A right passage is among the first k, by k: {shares}",
        f"RAG_TOP_K={top_k['value']} would do {_interval(top_k)}; each passage more is more for the model to read.",
    ]
    if evidence:
        told = f"{evidence['present']:.0%} → {evidence['rightly_told']:.0%} rightly let through or refused"
        lines.append(f"RAG_LEAST_EVIDENCE={evidence['value']}: {told} {_interval(evidence)}")
    if any("CHUNK_TOKENS" in line for line in report["env"]):
        lines.append("Another size of chunks needs: python main.py ingest")
    lines.append("For .env:" if report["env"] else "Leave .env as it is.")
    out.print("\n".join([*lines, *report["env"]]), markup=False)


def _interval(row: dict[str, Any]) -> str:
    noise = "beyond noise" if row["beyond_noise"] else "within noise"
    return f"({row['difference']:+.4f}, 95 %: {row['low']:+.4f} … {row['high']:+.4f}, {noise})"


def print_exported(report: dict[str, Any]) -> None:
    """Print what file was written, and the lines for .env."""
    told = f"{report['bytes'] / 1e6:.1f} MB, {report['type']}, SHA-256 {report['sha256']}"
    out.print("\n".join([f"{report['file']}: {told}", "For .env:", *report["env"]]), markup=False)


def print_training(plan: dict[str, Any]) -> None:
    """Print what a training takes, a row a part, and whether it fits or what would."""
    run, trained = plan["run"], plan["trained_parameters"]
    out.print(
        f"{run['method']}: {trained:,} of {plan['parameters']:,} parameters trained in {run['precision']}, "
        f"{run['batch']} × {run['length']} tokens a pass, {run['gpus']} GPU{'s' * (run['gpus'] > 1)}",
        markup=False,
    )
    parts = {"weights": "weights", "gradients": "gradients", "optimiser": "optimiser's states"}
    parts |= {"activations": "kept for the backward pass", "loss": "for the loss, besides"}
    parts |= {"total": "most at one time, of each GPU", "host": "on the host"}
    print_table([{"part": words, "MB": f"{plan[f'{name}_bytes'] / 1e6:,.0f}"} for name, words in parts.items()])
    if "fits" in plan:
        others = f"; what would: {', or '.join(plan['would_fit']) or 'none of the ways tried'}"
        room = f"{plan['vram_bytes'] / 1e9:g} GB"
        out.print(f"Fits in {room}." if plan["fits"] else f"Does not fit in {room}{others}.", markup=False)
