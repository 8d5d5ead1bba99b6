"""A queued run whose stages a test claims by hand."""

from __future__ import annotations

from alignment_app.models import Dataset, Prompt, Run, StageAttempt
from alignment_app.services import rows, runs, stages
from training.config import RunConfig


def queued_config(**changes: object) -> RunConfig:
    """A run of one iteration on the data set "questions", with top-level fields changed."""
    data = {
        "name": "A run",
        "paradigm": "self_reward",
        "iterations": 1,
        "student": {"model": "some/model"},
        "sft": {"enabled": False},
        "prompts": {"dataset": "questions", "count": 2},
        "evaluation": {"enabled": False},
    }
    return RunConfig.parse({**data, **changes})


def launch_queued() -> Run:
    """Such a run with its first stage queued, and its data set."""
    dataset = Dataset.objects.create(name="questions", kind=Dataset.Kind.PROMPTS)
    for position, text in enumerate(("What is two plus two?", "Name a bird.")):
        messages = [{"role": "user", "content": text}]
        Prompt.objects.create(
            dataset=dataset,
            source=Prompt.Source.SEED,
            messages=messages,
            text=text,
            position=position,
            content_hash=rows.content_hash(messages),
        )
    return runs.launch(queued_config())


def claim(run: Run, queue: str = "light") -> StageAttempt:
    """What a worker of ``queue`` claims of the run."""
    attempt = stages.claim(run.pk, queue, worker="w", host="h", pid=1)
    assert attempt is not None
    return attempt
