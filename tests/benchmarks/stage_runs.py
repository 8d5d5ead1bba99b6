"""Single stages of real runs, for the generation benchmarks: claimed, with rows saved and events published."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.sockets import setup


@dataclass(frozen=True, slots=True)
class Found:
    """Result of one pass. ``cpu`` is the CPU time of the whole process (s)."""

    seconds: float
    cpu: float
    tokens: int
    texts: dict[tuple[int, int], str] = field(repr=False, default_factory=dict)

    @property
    def speed(self) -> float:
        """Return tokens per second."""
        return self.tokens / self.seconds

    def __str__(self) -> str:
        return f"{self.tokens} tokens in {self.seconds:.1f} s, {self.speed:.0f} tokens/s, {self.cpu:.1f} s of CPU time"


class Clock:
    """Measures wall and CPU time since its creation."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Return elapsed seconds and CPU seconds of this process."""
        return time.monotonic() - self._wall, time.process_time() - self._cpu


@contextmanager
def record() -> Iterator[Path]:
    """Context manager for a data folder with an empty database and its own Valkey."""
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
            yield Path(folder)
        finally:
            valkey.stop()


def add_prompts(data: Path, count: int) -> None:
    """Import the first ``count`` distinct prompts of a file as the data set "prompts"."""
    from alignment_app.models import Dataset, Prompt
    from training.domain.importing import content_hash

    dataset = Dataset.objects.create(name="prompts", kind=Dataset.Kind.PROMPTS)
    rows = [json.loads(line) for line in data.read_text("utf-8").splitlines()]
    texts = list(dict.fromkeys(row.get("prompt") or row["instruction"] for row in rows))
    if len(texts) < count:
        raise SystemExit(f"{data} holds {len(texts)} different prompts; give --prompts {len(texts)} or fewer")
    conversations = [[{"role": "user", "content": text}] for text in texts[:count]]
    Prompt.objects.bulk_create(
        Prompt(
            dataset=dataset, source="imported", messages=messages, text=messages[0]["content"], position=place,
            content_hash=content_hash(messages),
        )
        for place, messages in enumerate(conversations)
    )  # fmt: skip


def config_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return a self-reward config that generates and judges, without fine-tuning or evaluation."""
    return {
        "name": "generation",
        "paradigm": "self_reward",
        "iterations": 1,
        "seed": 3,
        "engine": {"kind": "vllm"},
        "student": {"model": str(Path(options.model).resolve()), "max_length": options.max_length},
        "sft": {"enabled": False},
        "prompts": {"dataset": "prompts", "count": options.prompts},
        "candidates": {"n": options.n, "max_new_tokens": options.new_tokens, "temperature": 0.7, "top_p": 0.9},
        "judging": {"k": 3, "max_new_tokens": options.judge_tokens, "min_parse_rate": 0.0},
        "evaluation": {"enabled": False},
    }


@contextmanager
def stage_of(config: dict[str, Any], kind: str, engines: Any) -> Iterator[Any]:
    """Return a run's claimed stage of a kind, with earlier stages done. The caller must finish it."""
    from alignment_app.models import Stage
    from alignment_app.services import runs, stages
    from alignment_app.services.heartbeat import AttemptHeartbeat
    from training.config import RunConfig
    from training.jobs import job_of
    from training.jobs.stage_work import StageWork

    run = runs.launch(RunConfig.parse(config))
    while True:
        queued = Stage.objects.filter(iteration__run=run, status=Stage.Status.QUEUED).get()
        attempt = stages.claim(run.pk, queued.queue, worker="benchmark", host="here", pid=os.getpid())
        assert attempt
        with AttemptHeartbeat(attempt) as heartbeat:
            job = StageWork(attempt, heartbeat, engines)
            if attempt.stage.kind == kind:
                yield job
                stages.finish(attempt)
                return
            stages.finish(attempt, job_of(attempt.stage.spec)(job))


def run_stage(config: dict[str, Any], engines: Any) -> Found:
    """Perform the stage *responses* from its claim to its last row."""
    from training.jobs.gather import collect_responses

    with stage_of(config, "responses", engines) as job:
        engine = job.student(job.start)
        if engine.name == "vllm":
            engine._llm.reset_prefix_cache()
        clock = Clock()
        collect_responses(job)
        seconds, cpu = clock.read()
        rows = list(job.candidates().values_list("prompt_id", "index", "text", "token_count"))
    return Found(seconds, cpu, sum(row[3] for row in rows), {(row[0], row[1]): row[2] for row in rows})
