"""The stage *responses* compared with a distilabel pipeline, alternating on the same vLLM server.

    make bench-generation OPTIONS="--distilabel PYTHON --model FOLDER --data PROMPTS.jsonl"

vLLM's server runs in a separate process on this machine; its prefix cache is emptied before each pass. Plumbline runs
the stage of a real run with the engine ``openai_compatible``, saving rows and publishing events, with one seeded
request per sample. distilabel runs ``TextGeneration`` with ``OpenAILLM`` up to its Distiset, without seeds: one request
for the n samples of a prompt, in batches of 50 prompts (its default) and in a single batch; and one request per sample.
The start-up time of its processes is measured with one prompt and reported separately.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.stage_runs import Found, run_stage

PATIENCE_SECONDS = 600.0
THEIR_BATCH = 50
OURS_AT_ONCE = 200  # as many as distilabel: 50 prompts x 4
OURS = "stage"


def compare_with_distilabel(config: dict[str, Any], options: argparse.Namespace, home: Path) -> None:
    from transformers import AutoTokenizer

    from alignment_app.models import Prompt
    from training.engines.pool import EnginePool

    tokenizer = AutoTokenizer.from_pretrained(config["student"]["model"])
    texts = list(Prompt.objects.order_by("position").values_list("text", flat=True))
    with server(config["student"]["model"], options.max_length, home) as address, EnginePool() as engines:
        ours = config | {
            "engine": {"kind": "openai_compatible", "base_url": f"{address}/v1", "batch_size": OURS_AT_ONCE}
        }

        def theirs(prompts: list[str], batch: int, n: int = options.n) -> Found:
            return run_distilabel(options.distilabel, address, config, prompts, batch, n, tokenizer)

        theirs(texts[:64], 64)  # warm-up
        empty = statistics.median(theirs(texts[:1], 1).seconds for _ in range(3))
        repeated = [text for text in texts for _ in range(options.n)]
        print(f"distilabel with one prompt, mostly the start of its processes: {empty:.1f} s", flush=True)
        passes = {
            OURS: lambda: run_stage(ours, engines),
            f"distilabel, batches of {THEIR_BATCH}": lambda: theirs(texts, THEIR_BATCH),
            "distilabel, one batch": lambda: theirs(texts, len(texts)),
            "distilabel, a request a sample": lambda: theirs(repeated, THEIR_BATCH * options.n, 1),
        }
        found: dict[str, list[Found]] = {name: [] for name in passes}
        for number in range(options.rounds):
            for name in list(passes) if number % 2 else list(passes)[::-1]:
                empty_cache(address)
                found[name].append(passes[name]())
                print(f"  {name}: {found[name][-1]}", flush=True)
    speed = statistics.median(one.speed for one in found[OURS])
    for name, rows in found.items():
        if name != OURS:
            whole = statistics.median(one.speed for one in rows)
            started = statistics.median(one.tokens / (one.seconds - empty) for one in rows)
            print(
                f"stage / {name}, medians of {options.rounds}: {speed / whole:.2f} of its tokens/s; "
                f"{speed / started:.2f} where its start is left out",
                flush=True,
            )


def run_distilabel(
    python: str, address: str, config: dict[str, Any], prompts: list[str], batch: int, n: int, tokenizer: Any
) -> Found:
    """Run one pipeline in a separate process. Seconds are reported by it; CPU time is that of all its processes."""
    section = config["candidates"]
    sampling = {name: section[name] for name in ("temperature", "top_p", "max_new_tokens")}
    before = os.times()
    made = subprocess.run(
        [python, Path(__file__).with_name("distilabel_pipeline.py"), f"{address}/v1", config["student"]["model"]],
        input=json.dumps({"prompts": prompts, "n": n, "sampling": sampling, "batch": batch}),
        env=os.environ | {"PYTHONWARNINGS": "ignore"}, stdout=subprocess.PIPE, text=True, check=True,
        timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    after = os.times()
    told = json.loads(made.stdout.splitlines()[-1])
    if len(told["texts"]) != len(prompts) * n or None in told["texts"]:
        raise SystemExit(f"distilabel brought {len(told['texts'])} texts of {len(prompts) * n}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    # Counted like ours, including the end token: its statistics give each row the sum of its request.
    limit = section["max_new_tokens"]
    tokens = sum(min(len(ids) + 1, limit) for ids in tokenizer(told["texts"], add_special_tokens=False)["input_ids"])
    return Found(told["seconds"], cpu, tokens)


@contextmanager
def server(model: str, max_length: int, home: Path) -> Iterator[str]:
    """Start vLLM's server with the settings of the worker's engine. Yields its address."""
    import torch

    from alignment_app.processes.supervisor import listen
    from training.engines.vllm_engine import _context, _cpu_arguments, _set_environment_defaults

    on_gpu = torch.cuda.is_available()
    max_length = min(max_length, _context(model, False) or max_length)
    _set_environment_defaults(on_gpu)
    held = listen("127.0.0.1", 0)
    port = held.getsockname()[1]
    held.close()
    settings: dict[str, Any] = {"dtype": "auto" if on_gpu else "float32", "max_model_len": max_length, "port": port}
    settings |= {} if on_gpu else _cpu_arguments(max_length, 1)
    arguments = [part for name, value in settings.items() for part in _argument(name, value)]
    environment = os.environ | {"VLLM_SERVER_DEV_MODE": "1"}  # allows emptying the prefix cache
    log = home / "vllm-server.log"
    with log.open("w") as written:
        child = subprocess.Popen(
            [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, *arguments,
             "--host", "127.0.0.1", "--disable-uvicorn-access-log"],
            env=environment, stdout=written, stderr=subprocess.STDOUT,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        began = time.monotonic()
        while not _answers(f"{address}/health"):
            if child.poll() is not None or time.monotonic() - began > PATIENCE_SECONDS:
                raise SystemExit(f"vLLM's server did not start:\n{log.read_text('utf-8')[-3000:]}")
            time.sleep(0.5)
        print(f"vLLM's server starts in {time.monotonic() - began:.0f} s", flush=True)
        yield address
    finally:
        child.terminate()
        child.wait(60)


def _argument(name: str, value: Any) -> list[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", str(value)]


def empty_cache(address: str) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{address}/reset_prefix_cache", method="POST"), timeout=60).close()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
