"""Check training and generation on a GPU, within eight minutes: one JSON file and one table for docs/benchmarks.md.

    python -m tests.benchmarks.gpu_check [--model FOLDER] [--json gpu-check.json] [--cpu]

Every step runs in a process of its own, so that one failure or one lack of memory leaves the others:

- training of ``--model`` and of a random Llama of 0.5 billion parameters in bfloat16, stock TRL beside ours (DPO and
  Sr-DPO): time, peak memory and losses;
- LoRA, and QLoRA if bitsandbytes is installed: the margin at the first step must be 0;
- the log-probabilities of pairs in both batch layouts, with PyTorch's attention and with eager attention;
- generation with transformers, and with vLLM if it is installed: tokens per second, and the share of equal texts;
- a training that is killed three times and resumed: losses and weights must equal those of an undisturbed one.

``--cpu`` runs the steps on a model of a few thousand parameters, which proves the script. Exits 1 if a step failed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
LIMIT: Final = 480  # seconds for all steps; a step that would begin later is skipped


def main() -> int:
    options = parse()
    os.environ.update(TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
    if options.cpu:
        os.environ.update(CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1")
    if options.step:
        figures = STEPS[options.step](options)
        (options.folder / f"{options.step}.json").write_text(json.dumps(figures))
        return 0
    began = time.monotonic()
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="plumbline-") as folder:
        options.folder = Path(folder)
        for name in STEPS:
            results[name] = run(name, options, began)
            print(f"{name}: {results[name]['state']}, {results[name]['seconds']:.0f} s", file=sys.stderr, flush=True)
    options.json.write_text(json.dumps(results, indent=1))
    print(table(results))
    return 1 if any(result["state"] == "failed" for result in results.values()) else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="", help="folder of a checkpoint; default: only models with random weights")
    parser.add_argument("--json", type=Path, default=Path("gpu-check.json"), help="where all figures are written")
    parser.add_argument("--cpu", action="store_true", help="run on a CPU, with a model of a few thousand parameters")
    parser.add_argument("--step", default="", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def run(name: str, options: argparse.Namespace, began: float) -> dict[str, Any]:
    """Run a step in a process. Returns its state (done, failed, skipped), seconds and figures."""
    left = LIMIT - (time.monotonic() - began)
    if left <= 0:
        return {"state": "skipped", "seconds": 0.0, "figures": {}, "why": f"{LIMIT} s are used up"}
    command = [sys.executable, "-m", "tests.benchmarks.gpu_check", f"--step={name}", f"--folder={options.folder}"]
    command += [f"--model={options.model}", *(["--cpu"] if options.cpu else [])]
    start = time.monotonic()
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=left, check=False)
        problem = done.stderr[-1500:] if done.returncode else ""
    except subprocess.TimeoutExpired:
        problem = f"took longer than the {left:.0f} s that were left"
    seconds = time.monotonic() - start
    if problem:
        return {"state": "failed", "seconds": seconds, "figures": {}, "why": problem}
    figures = json.loads((options.folder / f"{name}.json").read_text())
    state = "skipped" if "why" in figures else "done"
    return {"state": state, "seconds": seconds, "figures": figures, "why": figures.pop("why", "")}


def device(options: argparse.Namespace) -> dict[str, Any]:
    """Return what this machine is."""
    import torch
    import transformers
    import trl

    found: dict[str, Any] = {"torch": torch.__version__, "transformers": transformers.__version__}
    found |= {"trl": trl.__version__, "python": platform.python_version()}
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        found |= {"device": properties.name, "memory_gib": round(properties.total_memory / 2**30, 1)}
        found |= {"cuda": torch.version.cuda, "bfloat16": torch.cuda.is_bf16_supported()}
    elif not options.cpu:
        raise SystemExit("there is no CUDA GPU; --cpu proves the script without one")
    return found


def training(options: argparse.Namespace, *, size: str = "") -> dict[str, Any]:
    """Train with stock TRL and ours; return seconds, peak memory and loss series of each."""
    if not size and not options.model and not options.cpu:
        return {"why": "no --model was given"}
    out = options.folder / f"training-{size or 'model'}.json"
    command = [sys.executable, "-m", "tests.benchmarks.training", f"--model={model_of(options)}", f"--json={out}"]
    command += [f"--data={pairs_file(options)}", "--variants", "stock", "dpo", "sr_dpo"]
    command += ["--pairs=8", "--batch-size=4", "--micro-batch-size=4"] if options.cpu else ["--pairs=96"]
    command += ["--max-length=256" if options.cpu else "--max-length=512"]
    command += [f"--dtype={'float32' if options.cpu else 'bfloat16'}", *([f"--random-model={size}"] if size else [])]
    subprocess.run(command, cwd=ROOT, check=True)
    found: dict[str, Any] = json.loads(out.read_text())
    ours, stock = found["dpo"], found["stock"]
    apart = max(abs(one - other) for one, other in zip(ours["losses"], stock["losses"], strict=True))
    return found | {
        "time_ratio": ours["wall"] / stock["wall"],
        "memory_ratio": ours["peak"] / stock["peak"],
        "losses_apart": apart,
    }


def adapters(options: argparse.Namespace) -> dict[str, Any]:
    """Train with LoRA and QLoRA; the reward margin of the first step must be 0."""
    import torch

    from training.config import LoraConfig, PreferenceConfig
    from training.trainers.preference import train_preference

    kinds = {"lora": LoraConfig(rank=4)}
    if find_spec("bitsandbytes") and torch.cuda.is_available():
        kinds["qlora"] = LoraConfig(rank=4, quantize_4bit=True)
    found: dict[str, Any] = {}
    for name, lora in kinds.items():
        points: list[dict[str, Any]] = []
        config = PreferenceConfig(lora=lora, learning_rate=1e-3, batch_size=4, micro_batch_size=4, epochs=2)
        train_preference(
            list(itertools.islice(pairs(), 16)),
            model=model_of(options),
            reference=model_of(options),
            output_dir=options.folder / name,
            config=config,
            seed=1,
            report=points.append,
            should_stop=lambda: False,
            max_length=256,
            dtype="auto",
        )
        found[name] = {"first_margin": points[0]["margin"], "first_loss": points[0]["loss"], "loss": points[-1]["loss"]}
        if abs(points[0]["margin"]) > 1e-3:
            raise SystemExit(f"{name}: the margin of the first step is {points[0]['margin']}, not 0")
    return found


def layouts(options: argparse.Namespace) -> dict[str, Any]:
    """Compare the summed log-probabilities of both batch layouts and both kinds of attention, in nats per token."""
    import torch
    from transformers import AutoModelForCausalLM

    from training.trainers import loading
    from training.trainers.encoding import encode_pairs
    from training.trainers.pair_logps import pair_batch, shared_batch, summed_logps

    tokenizer = loading.load_tokenizer(model_of(options))
    encoded, _ = encode_pairs(tokenizer, list(itertools.islice(pairs(), 4)), max_length=256, augment=False)
    columns = [[getattr(pair, f"{part}_ids") for pair in encoded] for part in ("prompt", "chosen", "rejected")]
    lengths = torch.tensor([len(ids) for column in columns[1:] for ids in column])
    where = "cuda" if torch.cuda.is_available() else "cpu"
    sums = {}
    for dtype, attention, layout in itertools.product(
        ("float32", "bfloat16"), ("sdpa", "eager"), (pair_batch, shared_batch)
    ):
        model = AutoModelForCausalLM.from_pretrained(
            model_of(options), dtype=getattr(torch, dtype), attn_implementation=attention
        ).to(where)
        model.eval()
        if where == "cuda":
            from trl.trainer.utils import add_fused_lm_head

            add_fused_lm_head(model, outputs=("log_probs",))
        batch = {name: tensor.to(where) for name, tensor in layout(*columns, tokenizer.pad_token_id).items()}
        if "parts" in batch and attention == "eager":
            continue  # only PyTorch's attention takes the mask of a shared row
        with torch.no_grad():
            sums[f"{dtype}, {attention}, {layout.__name__}"] = torch.cat(summed_logps(model, batch)).double().cpu()
    base = sums["float32, sdpa, pair_batch"]
    return {name: float(((values - base).abs() / lengths).max()) for name, values in sums.items()}


def generation(options: argparse.Namespace) -> dict[str, Any]:
    """Generate greedily with every installed engine; return tokens per second, and the share of equal texts."""
    from training.engines.base import Engine, Request, Sampling
    from training.engines.transformers_engine import TransformersEngine

    count, tokens = (8, 8) if options.cpu else (256, 128)
    asked = enumerate(itertools.islice(pairs(), count))
    requests = [Request(str(number), tuple(pair["prompt"]), number) for number, pair in asked]
    engines: dict[str, Callable[[], Engine]] = {"transformers": lambda: TransformersEngine(model_of(options))}
    if find_spec("vllm") and not options.cpu:
        from training.engines.vllm_engine import VLLMEngine

        engines["vllm"] = lambda: VLLMEngine(model_of(options))
    found: dict[str, Any] = {}
    texts: dict[str, dict[str, str]] = {}
    for name, make in engines.items():
        engine = make()
        start = time.perf_counter()
        done = list(engine.generate(requests, Sampling(0.0, 1.0, tokens)))
        seconds = time.perf_counter() - start
        engine.close()
        texts[name] = {one.key: one.text for one in done}
        found[name] = {"tokens": sum(one.token_count for one in done), "seconds": seconds}
        found[name]["tokens_per_second"] = found[name]["tokens"] / seconds
    if len(texts) == 2:
        one, other = texts.values()
        found["equal_texts"] = sum(one[key] == other[key] for key in one) / len(one)
    return found


def kill_and_resume(options: argparse.Namespace) -> dict[str, Any]:
    """Kill a training three times and resume it; fails if its losses or weights differ from an undisturbed one's."""
    command = [sys.executable, "-m", "tests.benchmarks.training_kills", "--kills=3"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr[-1000:])
    return {"said": done.stdout.strip().splitlines()[-1]}


STEPS: Final[dict[str, Callable[[argparse.Namespace], dict[str, Any]]]] = {
    "device": device,
    "training": training,
    "training, 0.5 billion parameters": lambda options: (
        {"why": "too large for a CPU"} if options.cpu else training(options, size="0.5b")
    ),
    "adapters": adapters,
    "layouts": layouts,
    "generation": generation,
    "kill and resume": kill_and_resume,
}


def model_of(options: argparse.Namespace) -> str:
    """Return the given model, or one with random weights, which is made once."""
    if options.model and not options.cpu:
        return str(options.model)
    folder: Path = options.folder / "model"
    if not (folder / "config.json").is_file():
        from tests.support.students import save_little_student

        save_little_student(folder, width=64 if options.cpu else 512, layers=2 if options.cpu else 12)
    return str(folder)


def pairs() -> Iterator[dict[str, Any]]:
    """Yield preference pairs of everyday instructions, in TRL's format."""
    from training.real_demo.instructions import instructions

    asked = instructions(0, held_out=False)
    for number, text in enumerate(asked):
        other = asked[(number + 1) % len(asked)]
        yield {
            "prompt": [{"role": "user", "content": text}],
            "chosen": [{"role": "assistant", "content": f"You ask: {text} " * (1 + number % 3) + "Here is my answer."}],
            "rejected": [{"role": "assistant", "content": f"I would rather talk of this: {other}"}],
        }


def pairs_file(options: argparse.Namespace) -> Path:
    """Write the pairs as the benchmark of the training reads them."""
    file: Path = options.folder / "pairs.jsonl"
    rows = [
        {"messages": pair["prompt"], **{side: pair[side][0]["content"] for side in ("chosen", "rejected")}}
        for pair in pairs()
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the Markdown table."""
    lines = ["| step | state | time | figures |", "| --- | --- | --- | --- |"]
    for name, result in results.items():
        said = ", ".join(_words(result["figures"])) or "".join(result["why"].strip().splitlines()[-1:])
        lines.append(f"| {name} | {result['state']} | {result['seconds']:.0f} s | {said} |")
    return "\n".join(lines)


def _words(figures: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _words(value, f"{prefix}{name} ")
        elif isinstance(value, float):
            yield f"{prefix}{name} {value:.3g}"
        elif not isinstance(value, list):
            yield f"{prefix}{name} {value}"


if __name__ == "__main__":
    sys.exit(main())
