"""Runs whose teacher is a server here that speaks Gemini's protocol, through the real SDK, and what they end with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alignment_app.models import Judgement, PreferencePair, Response, Run
from tests.support.providers import GEMINI_TROUBLES, Provider, Reply, candidate
from training.config import RunConfig


class Teacher:
    """A server that speaks Gemini's protocol: the same answer to the same request, and a tenth that fails at first."""

    def __init__(self) -> None:
        self.troubled = False
        self.failing: dict[str, Reply] = {}
        self.special: Callable[[str, int], Reply | None] = lambda text, number: None
        self.server = Provider(self.answer)

    def answer(self, text: str, number: int, body: dict[str, Any]) -> Reply:
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        if (reply := self.special(text, number)) is not None:
            return reply
        if self.troubled and int(digest, 16) % 10 == 0 and number <= 2:
            with self.server.lock:
                way = list(GEMINI_TROUBLES.values())[len(self.failing) % len(GEMINI_TROUBLES)]
                return self.failing.setdefault(digest, way)
        if "additive 5-point" in text:
            return candidate(
                f"It is as it is.\nScore: {int(digest[:6], 16) % 6}", prompt=300, completion=11, thoughts=2
            )
        return candidate(f"A full answer, number {int(digest[:4], 16)}.", prompt=12, completion=9, thoughts=0)


def paid_config(
    student: Path, address: str, *, count: int, paid: dict[str, Any] | None = None, **changes: Any
) -> RunConfig:
    """A small run with the server at ``address`` as its teacher; the key "proof" has to be stored."""
    asked = {"kind": "gemini", "model": "gemini-x", "base_url": address, "key": "proof"}
    data: dict[str, Any] = {
        "name": "paid",
        "paradigm": "teacher_reward",
        "iterations": 1,
        "seed": 3,
        "student": {"model": str(student), "max_length": 2048},
        "teacher": {**asked, "concurrency": 16, **(paid or {})},
        "sft": {"enabled": False},
        "prompts": {"dataset": "train", "count": count},
        "candidates": {"n": 4, "max_new_tokens": 6, "temperature": 1.0},
        "judging": {"k": 4, "max_new_tokens": 40},
        "training": {"batch_size": 4, "micro_batch_size": 4, "learning_rate": 1e-3},
        "evaluation": {"enabled": False},
    }
    return RunConfig.parse({**data, **changes})


def rows_of(run: Run) -> dict[str, Any]:
    """Every row of a run as what it says, without record ids."""
    iteration = run.iterations.get(number=1)
    answers = Response.objects.filter(iteration=iteration)
    judged = Judgement.objects.filter(iteration=iteration)
    pairs = PreferencePair.objects.filter(iteration=iteration)
    return {
        "responses": sorted(
            answers.values_list("prompt__text", "purpose", "source", "index", "text", "seed", "token_count")
        ),
        "judgements": sorted(
            (row.response.prompt.text, row.response.index, json.dumps(row.samples), row.score, row.spread)
            for row in judged.select_related("response__prompt")
        ),
        "pairs": sorted(
            pairs.values_list("prompt__text", "chosen__text", "rejected__text", "chosen_score", "rejected_score")
        ),
        "frozen": iteration.snapshot.content_hash,
    }
