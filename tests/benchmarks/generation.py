"""What the record costs a generation: the stage with rows and events, beside bare ``LLM.chat`` on the same requests.

    make bench-generation [OPTIONS="--prompts 500 --n 4 --rounds 3 --model FOLDER --data PROMPTS.jsonl"]

One process, one vLLM, one model: the stage *responses* of a real run (claimed, its rows saved in SQLite, its events
told through Valkey) and bare ``LLM.chat`` on the same conversations, seeds and decoding take turns, each with an empty
prefix cache, and their texts are compared. Then the model judges its responses: once with k = 3 and, as three runs,
with k = 1. Then the same stage through the transformers engine. Without ``--model`` the miniature's M0 is built and
used. The device is what torch finds: on a GPU vLLM takes it, and the transformers engine after it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.sockets import setup


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder of a checkpoint; without it the miniature's M0")
    parser.add_argument("--data", type=Path, help="JSON lines with a prompt each; without it the miniature's")
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--n", type=int, default=4, help="responses a prompt")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--judged", type=int, default=100, help="prompts whose responses are judged")
    parser.add_argument("--rounds", type=int, default=3, help="how often the stage and LLM.chat take turns")
    parser.add_argument("--without-transformers", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="plumbline-") as folder:
        os.environ.update(PLUMBLINE_HOME=folder, HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
        for name in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(name, None)
        setup()
        from django.conf import settings

        from alignment_app.processes.supervisor import prepare_database
        from alignment_app.processes.valkey import EmbeddedValkey

        prepare_database()
        valkey = EmbeddedValkey(settings.HOME)
        valkey.start()
        try:
            measure(options, Path(folder))
        finally:
            valkey.stop()
    return 0


def measure(options: argparse.Namespace, home: Path) -> None:
    import torch

    from training.engines.pool import EnginePool

    if not (options.model and options.data):
        from training.miniature.build import build

        made = build(home, 1)
        options.model = options.model or str(made.m0)
        options.data = options.data or made.directory / "prompts.jsonl"
    add_prompts(options)
    config = config_of(options)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"
    print(f"{options.prompts} prompts x {options.n}, {options.new_tokens} new tokens at most, on {device}", flush=True)
    with EnginePool() as engines:
        began = time.monotonic()
        with stage_of(config, "responses", engines) as job:
            engine = job.student(job.start)
        print(f"vLLM starts in {time.monotonic() - began:.0f} s (importing it included)", flush=True)
        warm_up(engine, options)
        compare(config, engines, engine, options)
        judge(config, engines, engine, options)
    if not options.without_transformers:
        with EnginePool() as engines:
            ours = config | {"engine": {"kind": "transformers", "batch_size": 64}}
            with stage_of(ours, "responses", engines) as job:
                job.student(job.start)
            print(f"the stage through transformers: {tell(*run_stage(ours, engines)[:2])}", flush=True)


def add_prompts(options: argparse.Namespace) -> None:
    from alignment_app.models import Dataset, Prompt
    from training.domain.importing import content_hash

    dataset = Dataset.objects.create(name="prompts", kind=Dataset.Kind.PROMPTS)
    texts = list(dict.fromkeys(json.loads(line)["prompt"] for line in options.data.read_text("utf-8").splitlines()))
    if len(texts) < options.prompts:
        raise SystemExit(f"{options.data} holds {len(texts)} different prompts; give --prompts {len(texts)} or fewer")
    conversations = [[{"role": "user", "content": text}] for text in texts[: options.prompts]]
    Prompt.objects.bulk_create(
        Prompt(
            dataset=dataset, source="imported", messages=messages, text=messages[0]["content"], position=place,
            content_hash=content_hash(messages),
        )
        for place, messages in enumerate(conversations)
    )  # fmt: skip


def config_of(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "name": "generation",
        "paradigm": "self_reward",
        "iterations": 1,
        "seed": 3,
        "engine": {"kind": "vllm"},
        "student": {"model": str(Path(options.model).resolve()), "max_length": 1024},
        "sft": {"enabled": False},
        "prompts": {"dataset": "prompts", "count": options.prompts},
        "candidates": {"n": options.n, "max_new_tokens": options.new_tokens, "temperature": 0.7, "top_p": 0.9},
        "judging": {"k": 3, "max_new_tokens": 48, "min_parse_rate": 0.0},
        "evaluation": {"enabled": False},
    }


@contextmanager
def stage_of(config: dict[str, Any], kind: str, engines: Any) -> Iterator[Any]:
    """A run's claimed stage of that kind, the stages before it done; not finished by itself."""
    from alignment_app.models import Stage
    from alignment_app.services import runs, stages
    from alignment_app.services.keeping import Keeper
    from training.config import RunConfig
    from training.jobs import DO
    from training.jobs.stage_work import StageWork

    run = runs.launch(RunConfig.parse(config))
    while True:
        queued = Stage.objects.filter(iteration__run=run, status=Stage.Status.QUEUED).get()
        attempt = stages.claim(run.pk, queued.queue, worker="benchmark", host="here", pid=os.getpid())
        assert attempt
        with Keeper(attempt) as keeper:
            job = StageWork(attempt, keeper, engines)
            if attempt.stage.kind == kind:
                yield job
                stages.finish(attempt)
                return
            stages.finish(attempt, **DO[Stage.Kind(attempt.stage.kind)](job))


def warm_up(engine: Any, options: argparse.Namespace) -> None:
    """The first steps compile and import; nobody's clock shows them."""
    from training.engines.base import Request, Sampling

    asked = [Request(str(n), ({"role": "user", "content": f"Warm {n}"},), n) for n in range(64)]
    list(engine.generate(asked, Sampling(0.7, 0.9, options.new_tokens)))
    engine._llm.chat([[{"role": "user", "content": "Warm"}]] * 4, use_tqdm=False)


def run_stage(config: dict[str, Any], engines: Any) -> tuple[float, int, dict[tuple[int, int], str]]:
    """Seconds of the stage *responses* from its claim to its last row, its tokens, and its texts."""
    from training.jobs.gather import collect_responses

    with stage_of(config, "responses", engines) as job:
        engine = job.student(job.start)
        if engine.name == "vllm":
            engine._llm.reset_prefix_cache()
        began = time.monotonic()
        collect_responses(job)
        seconds = time.monotonic() - began
        rows = list(job.candidates().values_list("prompt_id", "index", "text", "token_count"))
    return seconds, sum(row[3] for row in rows), {(row[0], row[1]): row[2] for row in rows}


def run_bare(config: dict[str, Any], engine: Any) -> tuple[float, int, dict[tuple[int, int], str]]:
    """The same requests through ``LLM.chat``, with nothing kept."""
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
            seed=derive_seed(config["seed"], Response.Purpose.CANDIDATE, 1, prompt.text, index),  # the record's own
        )
        for prompt, index in asked
    ]
    conversations = [prompt.messages for prompt, _ in asked]
    engine._llm.reset_prefix_cache()
    began = time.monotonic()
    found = engine._llm.chat(conversations, settings, use_tqdm=False)
    seconds = time.monotonic() - began
    texts = {(prompt.pk, index): out.outputs[0].text for (prompt, index), out in zip(asked, found, strict=True)}
    return seconds, sum(len(out.outputs[0].token_ids) for out in found), texts


def compare(config: dict[str, Any], engines: Any, engine: Any, options: argparse.Namespace) -> None:
    ours: list[float] = []
    bare: list[float] = []
    for number in range(options.rounds):
        turns = [("stage", ours), ("LLM.chat", bare)]
        texts = {}
        for name, speeds in turns if number % 2 else turns[::-1]:
            found = run_stage(config, engines) if name == "stage" else run_bare(config, engine)
            speeds.append(found[1] / found[0])
            texts[name] = found[2]
            print(f"  {name}: {tell(*found[:2])}", flush=True)
        same = sum(text == texts["LLM.chat"].get(key) for key, text in texts["stage"].items())
        print(f"  the same text in {same} of {len(texts['stage'])}", flush=True)
    ratio = statistics.median(ours) / statistics.median(bare)
    print(f"stage / LLM.chat, medians of {options.rounds}: {ratio:.3f} of its tokens/s", flush=True)


def judge(config: dict[str, Any], engines: Any, engine: Any, options: argparse.Namespace) -> None:
    """The model judges the same responses with k = 3 and, as three runs would, with k = 1."""
    from training.jobs.gather import judge_candidates

    small = config | {"prompts": {"dataset": "prompts", "count": options.judged}}
    found: dict[int, list[tuple[float, int, int]]] = {3: [], 1: []}
    for k in (3, 1, 1, 1):
        with stage_of(small | {"judging": config["judging"] | {"k": k}}, "judgements", engines) as job:
            engine._llm.reset_prefix_cache()
            before = engine.tokens.prompt, engine.tokens.cached
            began = time.monotonic()
            judge_candidates(job)
            seconds = time.monotonic() - began
        prompt, cached = engine.tokens.prompt - before[0], engine.tokens.cached - before[1]
        found[k].append((seconds, prompt, prompt - cached))
        print(f"  k = {k}: {seconds:.1f} s, {prompt} prompt tokens, {prompt - cached} computed", flush=True)
    three, ones = found[3][0], found[1]
    print(f"prompt tokens computed, k = 3 / k = 1: {three[2] / ones[0][2]:.3f}", flush=True)
    print(f"time, k = 3 / three runs of k = 1: {three[0] / sum(one[0] for one in ones):.2f}", flush=True)


def tell(seconds: float, tokens: int) -> str:
    return f"{tokens} tokens in {seconds:.1f} s, {tokens / seconds:.0f} tokens/s"


if __name__ == "__main__":
    sys.exit(main())
