"""Time saved when a remote teacher judges while the student still generates.

    python -m tests.benchmarks.overlap [--rounds 3] [--prompts 40] [--n 4] [--k 3] [--new-tokens 96]
        [--delay 0.3] [--concurrency 8]

A server in a separate process implements Gemini's API and answers each request of the real SDK after ``--delay``
seconds. The student is an untrained model with 180,000 parameters. ``training.jobs.work`` performs the stages
*responses* and *judgements*, alternating with and without overlap, and the rows are compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.stage_runs import record


@dataclass(frozen=True, slots=True)
class Pass:
    """Seconds and rows of one run's two stages. ``overlapped``: judgements made before the second stage began."""

    responses: float
    judgements: float
    overlapped: int
    rows: list[Any]

    @property
    def seconds(self) -> float:
        return self.responses + self.judgements

    def __str__(self) -> str:
        return (
            f"responses {self.responses:.1f} s, judgements {self.judgements:.1f} s, together {self.seconds:.1f} s; "
            f"{self.overlapped} judged before the responses were complete"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--n", type=int, default=4, help="responses per prompt")
    parser.add_argument("--k", type=int, default=3, help="replies per judgement")
    parser.add_argument("--new-tokens", type=int, default=96, help="maximum tokens of a response")
    parser.add_argument("--delay", type=float, default=0.3, help="delay of an answer (s)")
    parser.add_argument("--concurrency", type=int, default=8, help="requests in flight")
    options = parser.parse_args()
    with server(options.delay) as address, record() as home:
        os.environ.update(GEMINI_API_KEY="no-secret-at-all", GOOGLE_GEMINI_BASE_URL=address)
        from google import genai  # noqa: F401  (imported once, as by a worker)

        from tests.support.datasets import make_datasets
        from tests.support.students import save_little_student
        from training.jobs import gather

        make_datasets(train=options.prompts)
        config = config_of(str(save_little_student(home / "student", width=64, layers=4)), address, options)
        go_through(config)  # warm-up: imports
        overlap, found = gather.TeacherOverlap, dict[str, list[Pass]](beside=[], after=[])
        for number in range(options.rounds):
            for how in ("beside", "after") if number % 2 else ("after", "beside"):
                setattr(gather, "TeacherOverlap", overlap if how == "beside" else lambda job: nullcontext())  # noqa: B010
                found[how].append(go_through(config))
                print(f"{how}: {found[how][-1]}", flush=True)
        passes = [one for both in found.values() for one in both]
        alike = all(one.rows == passes[0].rows for one in passes)
        beside, after = (statistics.median(one.seconds for one in found[how]) for how in ("beside", "after"))
        longest = statistics.median(max(one.responses, one.judgements) for one in found["after"])
        print(
            f"beside / after, medians of {options.rounds}: {beside / after:.2f} of the time; at best "
            f"{longest / after:.2f}, what the longer of the two takes alone; load average {os.getloadavg()[0]:.1f}"
        )
        print("the same rows" if alike else "the rows differ")
    return int(not alike)


def config_of(student: str, address: str, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "name": "overlap",
        "paradigm": "teacher_reward",
        "iterations": 1,
        "seed": 3,
        "student": {"model": student, "max_length": 2304},
        "teacher": {"kind": "gemini", "model": "m", "base_url": address, "concurrency": options.concurrency},
        "sft": {"enabled": False},
        "engine": {"batch_size": 8},
        "prompts": {"dataset": "train", "count": options.prompts},
        "candidates": {"n": options.n, "max_new_tokens": options.new_tokens, "temperature": 1.0},
        "judging": {"k": options.k, "max_new_tokens": 40},
        "evaluation": {"enabled": False},
    }


def go_through(config: dict[str, Any]) -> Pass:
    """Perform a run's stages up to the judgements, one worker after another."""
    from alignment_app.models import Judgement, Stage
    from alignment_app.services import runs
    from training.config import RunConfig
    from training.jobs import work

    run = runs.launch(RunConfig.parse(config))
    work(run.pk, "light")
    began = time.monotonic()
    work(run.pk, "generation")
    written = time.monotonic()
    judged = Judgement.objects.filter(iteration__run=run)
    overlapped = judged.count()
    work(run.pk, "teacher")
    ended = time.monotonic()
    assert Stage.objects.get(iteration__run=run, kind="judgements").status == Stage.Status.DONE
    rows = judged.order_by("response__prompt__text", "response__index")
    said = rows.values_list("response__prompt__text", "response__index", "response__text", "samples", "score")
    return Pass(written - began, ended - written, overlapped, list(said))


def server(delay: float) -> AbstractContextManager[str]:
    """Run a provider in a separate process; its answers depend on the seed only."""
    from tests.support.providers import Answer, candidate, serving_apart

    def answer(text: str, number: int, body: dict[str, Any]) -> Answer:
        time.sleep(delay)
        return candidate(f"It is as it is.\nScore: {body['generationConfig']['seed'] % 6}")

    return serving_apart(answer)


if __name__ == "__main__":
    sys.exit(main())
