"""kill -9 during generation and judging with each engine: are the rows the same as in an undisturbed run?

    python -m tests.benchmarks.kill_engines [--engines transformers vllm openai_compatible gemini checkpoint oracle]
        [--times 10] [--model FOLDER] [--prompts 60] [--n 4] [--new-tokens 64] [--k 2] [--batch-size 8]

Per engine, one run makes its responses and judgements undisturbed. Then the same run is launched again and its process
is killed ``--times`` times, half of them during responses and half during judgements, each time after a random share of
the rows is saved. If a remote teacher judges while responses are made, kills alternate between both. The process is
forked from one that has imported everything, like a worker's, and runs ``training.jobs.work``; the function that the
monitor calls after a death is called here too. At the end all prompts, responses and judgements are compared, including
raw replies. Remote engines use a local server whose answers depend on the request only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.benchmarks.rows import compare, counts, rows_of
from tests.benchmarks.sockets import setup

ENGINES = ("transformers", "checkpoint", "oracle", "openai_compatible", "gemini", "vllm")
LIMIT_SECONDS = 3600.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments of the kills")
    parser.add_argument("--model", help="folder of the student; default: a small untrained model")
    parser.add_argument("--prompts", type=int, default=60)
    parser.add_argument("--n", type=int, default=4, help="responses per prompt")
    parser.add_argument("--new-tokens", type=int, default=64, help="maximum tokens of a response")
    parser.add_argument("--k", type=int, default=2, help="replies per judgement")
    parser.add_argument("--judge-tokens", type=int, default=48, help="maximum tokens of a judge's reply")
    parser.add_argument(
        "--batch-size", type=int, default=8, help="batch size of the student; requests in flight to a server"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="plumbline-") as folder, server() as address:
        os.environ.update(
            PLUMBLINE_HOME=folder, MAX_CRASHES="1000", MAX_FRUITLESS_CRASHES="100", HF_HUB_OFFLINE="1",
            OPENAI_API_KEY="no-secret-at-all", OPENAI_BASE_URL=f"{address}/v1",
            GEMINI_API_KEY="no-secret-at-all", GOOGLE_GEMINI_BASE_URL=address,
        )  # fmt: skip
        setup()
        from alignment_app.processes.supervisor import prepare_database
        from alignment_app.processes.valkey import EmbeddedValkey
        from tests.support.datasets import make_datasets
        from tests.support.students import save_little_student

        prepare_database()
        valkey = EmbeddedValkey(Path(folder))
        valkey.start()
        make_datasets(train=options.prompts)
        student = options.model or str(save_little_student(Path(folder) / "student", width=64, layers=4))
        preload(options.engines)
        try:
            return max([measure(kind, config_of(kind, student, address, options), options) for kind in options.engines])
        finally:
            valkey.stop()


def preload(engines: list[str]) -> None:
    """Import once what the killed processes need."""
    import training.engines.pool
    import training.jobs

    if "vllm" in engines:
        from training.engines.vllm_engine import _set_environment_defaults

        _set_environment_defaults(on_gpu=False)
        import vllm  # noqa: F401
    for kind in engines:
        if kind in ("transformers", "checkpoint"):
            import training.engines.transformers_engine  # noqa: F401
        if kind == "openai_compatible":
            import openai  # noqa: F401
        if kind == "gemini":
            from google import genai  # noqa: F401


def config_of(kind: str, student: str, address: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return a config where the engine generates and judges, or only judges if it cannot generate."""
    remote = {"model": "m", "base_url": f"{address}/v1" if kind == "openai_compatible" else address, "concurrency": 8}
    made: dict[str, Any] = {
        "name": f"killed: {kind}",
        "paradigm": "self_reward" if kind in ("transformers", "vllm") else "teacher_reward",
        "iterations": 1,
        "seed": 3,
        "student": {"model": student, "max_length": 2304},
        "sft": {"enabled": False},
        "engine": {
            "kind": kind if kind in ("transformers", "vllm") else "transformers",
            "batch_size": options.batch_size,
        },
        "prompts": {"dataset": "train", "count": options.prompts},
        "candidates": {"n": options.n, "max_new_tokens": options.new_tokens, "temperature": 1.0, "top_p": 1.0},
        "judging": {
            "k": options.k,
            "max_new_tokens": options.judge_tokens,
            "min_parse_rate": 0.0,
            "temperature": 1.0,
            "top_p": 1.0,
        },
        "evaluation": {"enabled": False},
    }
    if kind == "openai_compatible":
        made["engine"] = {"kind": kind, "base_url": remote["base_url"], "batch_size": options.batch_size}
        made["teacher"] = {"kind": kind, **remote}
    elif kind == "gemini":
        made["teacher"] = {"kind": kind, **remote}
    elif kind == "checkpoint":
        made["teacher"] = {"kind": kind, "model": student}
    elif kind == "oracle":
        made["teacher"] = {"kind": kind}
    return made


def server() -> AbstractContextManager[str]:
    """Run a provider in a separate process; its answers depend on text and seed only."""
    from tests.support.providers import Answer, candidate, chat, serving_apart

    def answer(text: str, number: int, body: dict[str, Any]) -> Answer:
        seed = body.get("seed") or body.get("generationConfig", {}).get("seed")
        drawn = hashlib.sha256(f"{seed} {text}".encode()).hexdigest()
        time.sleep(0.02 + int(drawn[:2], 16) / 5000)
        reply = f"{drawn}\nScore: {int(drawn[-1], 16) % 6}"
        return chat(reply) if "messages" in body else candidate(reply)

    return serving_apart(answer)


def measure(kind: str, config: dict[str, Any], options: argparse.Namespace) -> int:
    """Return 0 if the killed run has the rows of the undisturbed one."""
    from alignment_app.services import runs
    from training.config import RunConfig
    from training.domain.engine_kinds import ENGINES as ENTRIES

    began = time.monotonic()
    undisturbed = runs.launch(RunConfig.parse(config)).pk
    work_until_judged(undisturbed, [])
    wanted = what_was_made(undisturbed)
    seconds = time.monotonic() - began
    began = time.monotonic()
    killed = runs.launch(RunConfig.parse(config)).pk
    chance = random.Random(f"{options.seed} {kind}")
    half = options.times // 2
    moments = [("responses", share) for share in sorted(chance.uniform(0.02, 0.95) for _ in range(half))]
    moments += [
        ("judgements", share) for share in sorted(chance.uniform(0.02, 0.95) for _ in range(options.times - half))
    ]
    if ENTRIES[config.get("teacher", {}).get("kind", "none")].is_remote:
        moments.sort(key=lambda moment: moment[1])
    struck = work_until_judged(killed, moments)
    found = what_was_made(killed)
    lines = compare(wanted, found)
    print(f"{kind}: undisturbed {seconds:.0f} s, {counts(wanted)}", flush=True)
    print(f"  killed {len(struck)} times in {time.monotonic() - began:.0f} s, at {', '.join(struck)}", flush=True)
    print("  " + ("; ".join(lines) if lines else "the same rows: none lost, none twice, the same texts"), flush=True)
    return int(bool(lines) or len(struck) < options.times)


def what_was_made(run_id: int) -> dict[str, list[Any]]:
    rows = rows_of(run_id)
    return {name: rows[name] for name in ("prompts", "responses", "judgements")}


def work_until_judged(run_id: int, moments: list[tuple[str, float]]) -> list[str]:
    """Work on the run up to its judgements, killing the process at each moment of ``moments``."""
    from alignment_app.models import Judgement, Stage
    from alignment_app.services import reaping

    stages = Stage.objects.filter(iteration__run=run_id, iteration__number=1)
    moments, struck = list(moments), []
    deadline = time.monotonic() + LIMIT_SECONDS
    while stages.filter(kind__in=["prompts", "responses", "judgements"]).exclude(status="done").exists():
        child = fork_worker(run_id)
        while reaping.is_alive(child) and time.monotonic() < deadline:
            time.sleep(0.005)
            if not moments:
                continue
            kind, share = moments[0]
            if stages.filter(kind=kind, status="done").exists():
                moments.pop(0)  # too late for this one
                continue
            stage = stages.get(kind=kind)
            if stage.status not in ("running", "pending") or not stage.total:  # pending: the teacher works in overlap
                continue
            made = Judgement.objects.filter(iteration=stage.iteration_id).count()
            made = made if kind == "judgements" else stage.iteration.responses.count()
            if share * stage.total <= made < stage.total:
                os.kill(child, signal.SIGKILL)
                moments.pop(0)
                struck.append(f"{made} {kind}")
                break
        os.waitpid(child, 0)
        reaping.reap_dead(reaping.this_host())
        if time.monotonic() >= deadline:
            raise SystemExit(
                f"run {run_id} is not done after {LIMIT_SECONDS:.0f} s: {list(stages.values('kind', 'status'))}"
            )
    return struck


def fork_worker(run_id: int) -> int:
    """Fork a process that performs the run's stages up to the judgements, like a worker's job process."""
    from django.db import connections

    connections.close_all()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        from alignment_app.models import Run, Stage
        from training.jobs import work

        kinds = ("dataset", "sft", "evaluation", "prompts", "responses", "judgements")
        while queued := Stage.objects.filter(iteration__run=run_id, status="queued", kind__in=kinds).first():
            work(run_id, queued.queue)
        code = 0
        run = Run.objects.get(pk=run_id)
        if run.status in ("failed", "paused"):
            print(json.dumps([run.status, run.status_reason]), file=sys.stderr, flush=True)
    finally:
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
