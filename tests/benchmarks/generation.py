"""Cost of saving rows and events during generation, compared with bare ``LLM.chat`` on the same requests.

    make bench-generation [OPTIONS="--prompts 500 --n 4 --rounds 5 --model FOLDER --data PROMPTS.jsonl"]

In one process with one vLLM and one model, the stage *responses* of a real run (rows saved in SQLite, events published
through Valkey) alternates with bare ``LLM.chat`` on the same conversations, seeds and decoding parameters, each with an
empty prefix cache; their texts are compared. Then the model judges its responses with k = 3 and, as three runs, with
k = 1, alternating too. Finally the stage runs with the transformers engine. Without ``--model``, the miniature's M0 is
built and used. A GPU is used if torch finds one, first by vLLM, then by the transformers engine.

``--distilabel PYTHON`` compares with distilabel instead (``tests.benchmarks.generation_beside``).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.stage_runs import Clock, Found, add_prompts, config_of, record, run_stage, stage_of


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder of a checkpoint; default: the miniature's M0")
    parser.add_argument("--data", type=Path, help="JSON lines with one prompt each; default: the miniature's")
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--n", type=int, default=4, help="responses per prompt")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--max-length", type=int, default=1024, help="tokens of prompt and completion")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the stage and LLM.chat")
    parser.add_argument("--judged", type=int, default=100, help="prompts whose responses are judged")
    parser.add_argument("--judge-tokens", type=int, default=48)
    parser.add_argument("--judge-rounds", type=int, default=3, help="rounds of k = 3 and three runs of k = 1")
    parser.add_argument("--without-transformers", action="store_true")
    parser.add_argument("--distilabel", metavar="PYTHON", help="a Python with distilabel: compare with distilabel only")
    options = parser.parse_args()
    with record() as home:
        measure(options, home)
    return 0


def measure(options: argparse.Namespace, home: Path) -> None:
    import torch

    if not (options.model and options.data):
        from training.miniature.build import build

        made = build(home, 1)
        options.model = options.model or str(made.m0)
        options.data = options.data or made.directory / "prompts.jsonl"
    add_prompts(options.data, options.prompts)
    config = config_of(options)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"
    print(f"{options.prompts} prompts x {options.n}, {options.new_tokens} new tokens at most, on {device}", flush=True)
    if options.distilabel:
        from tests.benchmarks.generation_beside import compare_with_distilabel

        compare_with_distilabel(config, options, home)
        return
    through_vllm(config, options)
    if not options.without_transformers:
        through_transformers(config)


def through_vllm(config: dict[str, Any], options: argparse.Namespace) -> None:
    from training.engines.pool import EnginePool

    with EnginePool() as engines:
        began = time.monotonic()
        with stage_of(config, "responses", engines) as job:
            engine = job.student(job.start)
        print(f"vLLM starts in {time.monotonic() - began:.0f} s (importing it included)", flush=True)
        warm_up(engine, options)
        if options.rounds:
            compare(config, engines, engine, options.rounds)
        if options.judge_rounds:
            judge(config, engines, engine, options)


def through_transformers(config: dict[str, Any]) -> None:
    from training.engines.pool import EnginePool

    with EnginePool() as engines:
        ours = config | {"engine": {"kind": "transformers", "batch_size": 64}}
        with stage_of(ours, "responses", engines) as job:
            job.student(job.start)
        print(f"the stage through transformers: {run_stage(ours, engines)}", flush=True)


def warm_up(engine: Any, options: argparse.Namespace) -> None:
    """Run the first steps, which compile and import, without timing them."""
    from training.engines.base import Request, Sampling

    asked = [Request(str(n), ({"role": "user", "content": f"Warm {n}"},), n) for n in range(64)]
    list(engine.generate(asked, Sampling(0.7, 0.9, options.new_tokens)))
    engine._llm.chat([[{"role": "user", "content": "Warm"}]] * 4, use_tqdm=False)


def run_bare(config: dict[str, Any], engine: Any) -> Found:
    """Send the same requests through ``LLM.chat`` without saving anything."""
    from vllm import SamplingParams

    from alignment_app.models import Prompt, Response
    from training.domain.seeds import derive_seed

    section = config["candidates"]
    asked = [(prompt, index) for prompt in Prompt.objects.order_by("position") for index in range(section["n"])]
    settings = [
        SamplingParams(
            temperature=section["temperature"],
            top_p=section["top_p"],
            max_tokens=section["max_new_tokens"],
            seed=derive_seed(config["seed"], Response.Purpose.CANDIDATE, 1, prompt.text, index),  # as in the database
        )
        for prompt, index in asked
    ]
    conversations = [prompt.messages for prompt, _ in asked]
    engine._llm.reset_prefix_cache()
    clock = Clock()
    found = engine._llm.chat(conversations, settings, use_tqdm=False)
    seconds, cpu = clock.read()
    texts = {(prompt.pk, index): out.outputs[0].text for (prompt, index), out in zip(asked, found, strict=True)}
    return Found(seconds, cpu, sum(len(out.outputs[0].token_ids) for out in found), texts)


def compare(config: dict[str, Any], engines: Any, engine: Any, rounds: int) -> None:
    found: dict[str, list[Found]] = {"stage": [], "LLM.chat": []}
    for number in range(rounds):
        for name in list(found) if number % 2 else list(found)[::-1]:
            found[name].append(run_stage(config, engines) if name == "stage" else run_bare(config, engine))
            print(f"  {name}: {found[name][-1]}", flush=True)
        texts, wanted = (found[name][-1].texts for name in ("stage", "LLM.chat"))
        same = sum(text == wanted.get(key) for key, text in texts.items())
        print(f"  the same text in {same} of {len(texts)}", flush=True)
    speed, cpu = (
        [statistics.median(getattr(one, what) for one in found[name]) for name in found] for what in ("speed", "cpu")
    )
    print(f"stage / LLM.chat, medians of {rounds}: {speed[0] / speed[1]:.3f} of its tokens/s", flush=True)
    own = sorted(ours.speed / bare.speed for ours, bare in zip(found["stage"], found["LLM.chat"], strict=True))
    print(f"the rounds' own ratios: {own[0]:.2f} to {own[-1]:.2f}, median {statistics.median(own):.3f}", flush=True)
    print(f"stage / LLM.chat, medians of {rounds}: {cpu[0] / cpu[1]:.3f} of its CPU time", flush=True)


def judge(config: dict[str, Any], engines: Any, engine: Any, options: argparse.Namespace) -> None:
    """Judge the same responses with k = 3 and, as three runs, with k = 1; warmed up and alternating."""
    small = config | {"prompts": {"dataset": "prompts", "count": options.judged}}
    judge_once(small, 1, engines, engine)  # warm-up
    ratios: list[float] = []
    for number in range(options.judge_rounds):
        found = {3: [0.0, 0, 0], 1: [0.0, 0, 0]}
        for k in (3, 1, 1, 1) if number % 2 else (1, 1, 1, 3):
            seconds, prompt, computed = judge_once(small, k, engines, engine)
            found[k] = [found[k][0] + seconds, prompt, computed]
            print(f"  k = {k}: {seconds:.2f} s, {prompt} prompt tokens, {computed} computed", flush=True)
        ratios.append(found[3][0] / found[1][0])
    print(f"prompt tokens computed, k = 3 / k = 1: {found[3][2] / found[1][2]:.3f}", flush=True)
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"time, k = 3 / three runs of k = 1: {statistics.median(ratios):.2f}, the median of {each}", flush=True)


def judge_once(config: dict[str, Any], k: int, engines: Any, engine: Any) -> tuple[float, int, int]:
    """Return the seconds of the stage *judgements*, its prompt tokens, and how many of them were computed."""
    from training.jobs.gather import judge_candidates

    with stage_of(config | {"judging": config["judging"] | {"k": k}}, "judgements", engines) as job:
        engine._llm.reset_prefix_cache()
        before = engine.tokens.prompt, engine.tokens.cached
        began = time.monotonic()
        judge_candidates(job)
        seconds = time.monotonic() - began
    prompt, cached = engine.tokens.prompt - before[0], engine.tokens.cached - before[1]
    return seconds, prompt, prompt - cached


if __name__ == "__main__":
    sys.exit(main())
