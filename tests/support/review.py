"""A run that waits for people, with candidates, scores and pairs, and the people who answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from alignment_app.models import (
    Dataset,
    DatasetSnapshot,
    Iteration,
    IterationPrompt,
    Judge,
    Judgement,
    PreferencePair,
    Prompt,
    Response,
    Run,
    SnapshotItem,
    Stage,
)
from alignment_app.services import runs
from labeling.models import Assignment, Queue, Review, Task
from labeling.services import leases, reviews
from labeling.services.answers import Answer
from tests.support.judge_rows import checkpoint_judge
from training.config import RunConfig
from training.domain.importing import content_hash
from training.domain.score_rule import ScoreRule
from training.plan import REVIEW

#: The judge's scores of each prompt's four candidates.
SCORES = ((1.0, 4.0, 2.0, 3.0), (5.0, 4.5, 4.0, 3.5), (2.0, 2.0, 2.0, 2.0), (0.0, 5.0, 1.0, 1.0))


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
    judge = checkpoint_judge(run.checkpoints.get(number=1))
    iteration.score_rule = ScoreRule("self", judge.pk).as_data()
    iteration.save()
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


def _candidates(dataset: Dataset, iteration: Iteration, position: int, row: Any, judge: Judge) -> None:
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


def take(queue: Queue, person: User, **more: Any) -> Assignment:
    assignment = leases.next_task(queue, person, **more)
    assert assignment is not None
    return assignment


def expire(assignment: Assignment) -> None:
    Assignment.objects.filter(pk=assignment.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def answer_of(queue: Queue, person: User, answer: Answer) -> Review:
    return reviews.submit(take(queue, person), answer).review


def score_task(queue: Queue, prompt: int, index: int) -> Task:
    return Task.objects.get(queue=queue, prompt__position=prompt, first__index=index)


def score(queue: Queue, person: User, prompt: int, index: int, value: float, reason: str = "because") -> Review:
    task = score_task(queue, prompt, index)
    assert leases.take_slot(task.pk)
    with_lease = leases._lease(task.pk, queue, person, task.queue.created_at)
    return reviews.submit(with_lease, Answer(score=value, reason=reason)).review


def freeze(iteration: Iteration) -> DatasetSnapshot:
    """What the dataset stage leaves in the record."""
    pairs = PreferencePair.objects.filter(iteration=iteration, state__in=PreferencePair.TRAINABLE)
    snapshot = DatasetSnapshot.objects.create(
        iteration=iteration, kind="preference", content_hash="0" * 64, path="snapshots/x.jsonl", row_count=len(pairs)
    )
    for position, pair in enumerate(pairs):
        SnapshotItem.objects.create(snapshot=snapshot, position=position, pair=pair)
    return snapshot
