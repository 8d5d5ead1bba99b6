"""Cost of preference training: stock TRL, ours and naive self-refined losses, with the same pairs and seed.

    python -m tests.benchmarks.training [--model FOLDER | --random-model 0.5b] [--data PAIRS.jsonl] [--pairs 128]
        [--epochs 1 3] [--repeats 3] [--threads 1] [--dtype auto]

Each variant runs in a separate process with the same model, pairs, seed, global batch size and epochs. Timing covers
loading, tokenizing, the reference and saving, but not imports. With ``--repeats`` the variants alternate, and the table
shows medians. The losses of every step are then compared: ours with stock TRL's, the self-refined ones with the direct
formulas. ``--data`` holds JSON lines with ``messages`` (or ``prompt``), ``chosen`` and ``rejected``; the first pairs
that fit into ``--max-length`` are used. A GPU is used if there is one: ``--dtype auto`` computes in bfloat16 with
float32 weights, ``bfloat16`` uses it for both. ``--random-model`` makes a Llama of that size with random weights and
the tokenizer of ``--model``. In float32, exits 1 if two series differ by more than ``--tolerance``; in bfloat16 the
difference is only printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = Path(os.environ.get("PLUMBLINE_TEST_DATA") or ROOT / ".." / "shared" / "data") / "hh_rlhf_train.jsonl"
MODEL = Path(os.environ.get("PLUMBLINE_TEST_MODELS") or ROOT / ".." / "shared" / "models") / "tiny-lm"
MIB = 2**20
# What is compared, and how much each loss moves with h at the start, for β = 0.1: β/2 for DPO, 1/β for IPO. IPO's error
# of rounding is 200 times DPO's for the same error of a log-probability.
SAME = (("dpo", "stock", 0.05), ("sr_dpo", "naive_sr_dpo", 0.05), ("sr_ipo", "naive_sr_ipo", 10.0))


def main() -> int:
    options = parse()
    os.environ.update(HF_HUB_OFFLINE="1" if Path(options.model).is_dir() else "0", TOKENIZERS_PARALLELISM="false")
    os.environ.update({name: str(options.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")})
    if options.child:
        return child(options)
    from tests.benchmarks.training_variants import VARIANTS

    unknown = set(options.variants) - set(VARIANTS)
    if unknown:
        raise SystemExit(f"no variant is called {', '.join(sorted(unknown))}; there are {', '.join(VARIANTS)}")
    with tempfile.TemporaryDirectory(prefix="plumbline-") as folder:
        pairs, tokens = usable_pairs(options)
        (Path(folder) / "pairs.json").write_text(json.dumps(pairs))
        if options.random_model:
            from tests.benchmarks.training_variants import save_random_model

            options.model = str(save_random_model(options.random_model, options.model, Path(folder) / "random"))
        same = True
        for epochs in options.epochs:
            runs: dict[str, list[dict[str, Any]]] = {variant: [] for variant in options.variants or VARIANTS}
            for _ in range(options.repeats):
                for variant, found in runs.items():
                    found.append(run(variant, epochs, options, Path(folder)))
                    print(f"{variant}: {found[-1]['wall']:.1f} s", file=sys.stderr)
            measured = {variant: medians(found) for variant, found in runs.items()}
            print(heading(options, epochs, tokens))
            print(table(measured, VARIANTS, tokens * epochs))
            same = compare(measured, options.tolerance) and same
            if options.json:
                options.json.write_text(json.dumps(measured))
    return 0 if same or options.dtype != "float32" else 1


def medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the median of each figure, and the losses of the first run, which all others must equal."""
    if any(run["losses"] != runs[0]["losses"] for run in runs):
        print("the losses of two runs of one variant differ", file=sys.stderr)
    figures = {name: statistics.median(run[name] for run in runs) for name in ("wall", "cpu", "peak", "above")}
    return figures | {"losses": runs[0]["losses"]}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(MODEL), help="folder of a checkpoint, or a name on the hub")
    parser.add_argument("--data", type=Path, default=DATA, help="JSON lines with messages or prompt, chosen, rejected")
    parser.add_argument(
        "--random-model", default="", help="20m, 0.1b, 0.5b or 1b: random weights with --model's tokenizer"
    )
    parser.add_argument("--pairs", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=1, help="runs per variant; the table shows their medians")
    parser.add_argument("--epochs", type=float, nargs="+", default=[1.0], help="epochs; one table per number")
    parser.add_argument("--batch-size", type=int, default=16, help="pairs per optimizer step")
    parser.add_argument("--micro-batch-size", type=int, default=8, help="pairs per forward pass")
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--learning-rate", type=float, default=1e-5)
    parser.add_argument("--dtype", default="float32", help="float32, auto or bfloat16, like student.dtype")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tolerance", type=float, default=2e-4, help="nats of h; 2e-4 is 1e-5 of a DPO loss")
    parser.add_argument("--variants", nargs="*", default=[], help="run only these variants")
    parser.add_argument("--json", type=Path, help="also write the figures of the last table to this file")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def usable_pairs(options: argparse.Namespace) -> tuple[list[dict[str, Any]], int]:
    """Return the first pairs that fit without truncation, and the tokens of both sequences of each."""
    from training.trainers.encoding import encode_pairs
    from training.trainers.loading import load_tokenizer
    from training.trainers.results import TrainingError

    tokenizer = load_tokenizer(options.model)
    pairs: list[dict[str, Any]] = []
    tokens = 0
    for pair in read(options.data):
        try:
            (encoded,), notes = encode_pairs(tokenizer, [pair], max_length=options.max_length, augment=False)
        except TrainingError:
            continue  # empty, equal or too long
        if not notes:
            pairs.append(pair | {"pair_id": len(pairs)})
            tokens += 2 * len(encoded.prompt_ids) + len(encoded.chosen_ids) + len(encoded.rejected_ids)
        if len(pairs) == options.pairs:
            return pairs, tokens
    raise SystemExit(f"{options.data} has {len(pairs)} pairs that fit {options.max_length} tokens: lower --pairs")


def read(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        raise SystemExit(f"{path} is absent: give --data a file of preference pairs, one JSON object a line")
    with path.open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            prompt = row.get("messages") or row["prompt"]
            turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
            yield {"prompt": turns} | {
                side: [{"role": "assistant", "content": row[side]}] for side in ("chosen", "rejected")
            }


def run(variant: str, epochs: float, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run one variant in a separate process."""
    command = [sys.executable, "-m", "tests.benchmarks.training", f"--child={variant}", f"--folder={folder}"]
    command += [f"--epochs={epochs}"]
    names = (
        "model", "batch_size", "micro_batch_size", "max_length", "learning_rate", "dtype", "threads", "seed",
    )  # fmt: skip
    command += [f"--{name.replace('_', '-')}={getattr(options, name)}" for name in names]
    environment = os.environ | {"HF_DATASETS_CACHE": str(folder / "datasets")}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise SystemExit(f"{variant} ended with code {done.returncode}:\n{done.stdout.decode()[-3000:]}")
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def child(options: argparse.Namespace) -> int:
    """Train, and write seconds, bytes and losses."""
    import resource

    import datasets  # noqa: F401  imported before the clock begins
    import psutil
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401

    from tests.benchmarks.training_variants import Job, train

    torch.set_num_threads(options.threads)
    pairs = json.loads((options.folder / "pairs.json").read_text())
    names = ("model", "batch_size", "micro_batch_size", "max_length", "learning_rate", "seed", "dtype")
    with tempfile.TemporaryDirectory(dir=options.folder) as output:
        job = Job(output_dir=Path(output), epochs=options.epochs[0], **{name: getattr(options, name) for name in names})
        before = psutil.Process().memory_info().rss
        wall, cpu = time.perf_counter(), time.process_time()
        series = train(options.child, pairs, job)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if torch.cuda.is_available():
        before, peak = 0, torch.cuda.max_memory_allocated()
    result = {"wall": wall, "cpu": cpu, "peak": peak, "above": peak - before, "losses": series}
    (options.folder / "result.json").write_text(json.dumps(result))
    return 0


def heading(options: argparse.Namespace, epochs: float, tokens: int) -> str:
    return (
        f"\n{options.pairs} pairs of {tokens} tokens in all, {epochs:g} epochs, batch {options.batch_size} in parts of "
        f"{min(options.micro_batch_size, options.batch_size)}, {options.threads} threads, {options.dtype}, "
        f"{options.random_model or 'the given'} model, {options.repeats} runs each, load average "
        f"{os.getloadavg()[0]:.1f}\n"
    )


def table(measured: dict[str, dict[str, Any]], labels: dict[str, str], tokens: float) -> str:
    """Return the Markdown table, with the ratio to stock TRL in brackets if it was measured."""
    base = measured.get("stock", {})
    stock_wall, stock_peak, stock_above = (base.get(name) for name in ("wall", "peak", "above"))
    lines = [
        "| training | wall time | CPU time | tokens/s | peak memory | of it by training |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for variant, found in measured.items():
        speed = tokens / found["wall"]
        cells = [
            cell(found["wall"], stock_wall, "{:.1f} s"),
            cell(found["cpu"], base.get("cpu"), "{:.1f} s"),
            cell(speed, stock_wall and tokens / stock_wall, "{:.0f}"),
            cell(found["peak"] / MIB, stock_peak and stock_peak / MIB, "{:.0f} MiB"),
            cell(found["above"] / MIB, stock_above and stock_above / MIB, "{:.0f} MiB"),
        ]
        lines.append(f"| {labels[variant]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(value: float, base: float | None, form: str) -> str:
    return form.format(value) + (f" ({value / base:.2f})" if base else "")


def compare(measured: dict[str, dict[str, Any]], tolerance: float) -> bool:
    """Print the differences between the loss series. Returns whether all are within the tolerance."""
    same = True
    for one, other, slope in SAME:
        if one not in measured or other not in measured:
            continue
        pairs = list(zip(measured[one]["losses"], measured[other]["losses"], strict=True))
        apart = max(abs(left - right) for left, right in pairs)
        same = same and apart <= tolerance * slope
        print(
            f"\n{one} and {other}, {len(pairs)} steps, {pairs[0][0]:.6f} to {pairs[-1][0]:.6f}: losses differ by "
            f"{apart:.1e} at most, as by {apart / slope:.1e} nats of h"
        )
    return same


if __name__ == "__main__":
    sys.exit(main())
