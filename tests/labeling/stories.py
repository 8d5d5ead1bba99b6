"""A run that waits for people, with candidates, scores and pairs, and the people who answer."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, User

from alignment_app.models import (
    Dataset,
    Iteration,
    IterationPrompt,
    Judgement,
    PreferencePair,
    Prompt,
    Response,
    Run,
    Stage,
)
from alignment_app.services import runs
from training.config import RunConfig
from training.domain.importing import content_hash
from training.plan import REVIEW

#: The judge's scores of each prompt's four candidates.
SCORES = ((1.0, 4.0, 2.0, 3.0), (5.0, 4.5, 4.0, 3.5), (2.0, 2.0, 2.0, 2.0), (0.0, 5.0, 1.0, 1.0))


def person(name: str, role: str) -> User:
    user = User.objects.create_user(username=name, password=f"{name}-password")
    group, _ = Group.objects.get_or_create(name=role)
    user.groups.add(group)
    return user


def waiting_run(scores: Any = SCORES, *, name: str = "waiting") -> Iteration:
    """A run of the self-reward paradigm whose iteration 1 waits for review, with a pair a prompt that has one."""
    dataset = Dataset.objects.create(name=f"{name} prompts", kind=Dataset.Kind.PROMPTS)
    config = RunConfig.parse(
        {
            "name": name,
            "paradigm": "self_reward",
            "iterations": 1,
            "student": {"model": "nobody/nothing"},
            "sft": {"enabled": False},
            "prompts": {"dataset": dataset.name, "count": max(1, len(scores))},
            "review": {"enabled": True},
            "evaluation": {"enabled": False},
        }
    )
    run = runs.launch(config)
    iteration = Iteration.objects.get(run=run, number=1)
    judge = f"M1 of run {run.pk}"
    for position, row in enumerate(scores):
        _candidates(dataset, iteration, position, row, judge)
    Stage.objects.filter(iteration=iteration, position__lt=_position(iteration)).update(status=Stage.Status.DONE)
    Stage.objects.filter(iteration=iteration, kind=REVIEW.kind).update(
        status=Stage.Status.WAITING, total=iteration.pairs.count(), unit="pairs"
    )
    Run.objects.filter(pk=run.pk).update(status=Run.Status.WAITING)
    return Iteration.objects.select_related("run").get(pk=iteration.pk)


def _position(iteration: Iteration) -> int:
    return int(iteration.stages.get(kind=REVIEW.kind).position)


def _candidates(dataset: Dataset, iteration: Iteration, position: int, row: Any, judge: str) -> None:
    messages = [{"role": "user", "content": f"Name {position + 1} plants that keep a room's air fresh."}]
    prompt = Prompt.objects.create(
        dataset=dataset,
        source="imported",
        messages=messages,
        text=messages[0]["content"],
        position=position,
        content_hash=content_hash(messages),
    )
    IterationPrompt.objects.create(iteration=iteration, prompt=prompt, position=position)
    responses = [
        Response.objects.create(
            prompt=prompt,
            iteration=iteration,
            source="student",
            purpose="candidate",
            index=index,
            text=f"Answer {index} to prompt {position + 1}: **snake plant**, every {index + 2} weeks.",
        )
        for index in range(len(row))
    ]
    for response, score in zip(responses, row, strict=True):
        Judgement.objects.create(
            response=response,
            iteration=iteration,
            source="self",
            judge=judge,
            samples=[{"raw": f"Useful. Score: {score}", "score": score, "seed": 1}],
            parsed_count=1,
            sample_count=1,
            score=score,
            spread=0.0,
            rationale="Useful.",
        )
    high, low = max(row), min(row)
    if high > low:
        PreferencePair.objects.create(
            prompt=prompt,
            iteration=iteration,
            chosen=responses[row.index(high)],
            rejected=responses[row.index(low)],
            chosen_score=high,
            rejected_score=low,
            margin=high - low,
            origin="self",
            reason="Highest against lowest.",
        )
