"""Judges held to people: what people said blind, which judges are held to it, and how each did."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet

from alignment_app.models import Checkpoint, Dataset, Judgement, Response, Run
from labeling.models import Queue, Review, Task
from training.domain.calibration import Calibration, calibrate
from training.domain.drift import CheckpointJudge, Drift, latest_drift

#: Responses that judges are held to at most, the newest.
MOST_JUDGED = 1500
PART = 500
#: By response: its prompt, and the mean of what people gave it blind.
BlindScores = Mapping[int, tuple[int, float]]
#: By checkpoint and response: the judge's score, ``None`` where it did not parse.
Scores = dict[int, dict[int, float | None]]


def counted(queues: Iterable[Queue]) -> QuerySet[Review]:
    """People's own answers in force on ordinary items: no lead's word, no flags, no skips."""
    return Review.objects.filter(
        queue__in=list(queues), in_force=True, adjudication=False, decision__in=Review.DECISIVE,
        task__expected__isnull=True,
    )  # fmt: skip


def blind_scores(queues: Iterable[Queue]) -> BlindScores:
    """What people gave each response before any judge was shown; their mean where several scored."""
    given: dict[tuple[int, int], list[float]] = defaultdict(list)
    rows = counted(queues).filter(blind=True).order_by("-pk")
    wanted = ("task__prompt", "task__first", "score", "first_answer")
    for prompt, response, score, first in rows.values_list(*wanted)[: 6 * MOST_JUDGED]:
        if (prompt, response) not in given and len(given) == MOST_JUDGED:
            continue
        blind = (first or {}).get("score", score)
        if blind is not None:
            given[prompt, response].append(blind)
    return {response: (prompt, sum(all_) / len(all_)) for (prompt, response), all_ in given.items()}


def held_out_queues(run: Run) -> list[Queue]:
    """Held-out score queues on the run's own responses, or on prompts of a data set that the run works with."""
    config = run.typed_config
    names = {config.prompts.dataset, config.evaluation.dataset, config.candidates.from_dataset}
    datasets = Dataset.objects.filter(Q(name__in=names - {""}) | Q(run=run))
    inside = Task.objects.filter(queue=OuterRef("pk"), prompt__dataset__in=datasets)
    queues = Queue.objects.filter(kind=Queue.Kind.SCORE, held_out=True)
    return list(queues.filter(Q(iteration__run=run) | Exists(inside)).order_by("pk"))


def waiting_for_scores(run: Run) -> Queue | None:
    """The held-out queue in which people are to score this run's judges' responses: an open one before a closed one."""
    queues = sorted(held_out_queues(run), key=lambda queue: (not queue.is_open, -queue.pk))
    return queues[0] if queues else None


def reviewed_blind(run: Run) -> QuerySet[Response]:
    """The responses that the run's judges are held to: reviewed blind, in queues that no training reads."""
    return Response.objects.filter(pk__in=list(blind_scores(held_out_queues(run))))


@dataclass(frozen=True, slots=True)
class HeldJudge:
    """One judge against people. ``checkpoint``: the student's own judge; ``None``: the teacher."""

    name: str
    source: str
    checkpoint: Checkpoint | None
    figures: Calibration


@dataclass(frozen=True, slots=True)
class RunJudges:
    """The judges of a run held to the same blind scores, in order of iterations, the teacher last.

    ``missing``: responses that some checkpoint has not judged yet, since people scored them after its evaluation.
    """

    run: Run
    queues: list[Queue]
    reviewed: int
    judges: list[HeldJudge]
    missing: int
    drift: Drift | None


def judges_of_run(run: Run) -> RunJudges | None:
    """Every judge of a run held to people; ``None`` where no held-out item of its prompts has been scored blind.

    Kept in the cache until a score or a judgement is added or taken back.
    """
    queues = held_out_queues(run)
    if not queues:
        return None
    judgements = Judgement.objects.filter(iteration__run=run)
    lines = Review.objects.filter(queue__in=queues)
    state = (
        lines.aggregate(last=Max("pk"))["last"],
        lines.filter(in_force=True).count(),
        judgements.aggregate(last=Max("pk"))["last"],
        judgements.count(),
    )
    key = f"judges of run {run.pk} {'-'.join(map(str, state))}".replace(" ", "-")
    found = cache.get(key)
    if found is None:
        found = _judges_of_run(run, queues)
        cache.set(key, found, 3600)
    return found if found.reviewed else None


def _judges_of_run(run: Run, queues: list[Queue]) -> RunJudges:
    people = blind_scores(queues)
    checkpoints = list(run.checkpoints.filter(number__gte=1).order_by("number"))
    own: Scores = defaultdict(dict)
    teachers: dict[int, dict[int, float | None]] = defaultdict(dict)
    names: dict[int, str] = {}
    ids = list(people)
    for start in range(0, len(ids), PART):
        rows = Judgement.objects.filter(response__in=ids[start : start + PART], iteration__run=run)
        wanted = ("response", "source", "judge", "judge__name", "judge__checkpoint", "score")
        for response, source, judge, name, checkpoint, score in rows.values_list(*wanted):
            if source == Judgement.Source.SELF and checkpoint:
                own[checkpoint][response] = score
            elif source == Judgement.Source.TEACHER:
                teachers[judge][response], names[judge] = score, name
    judges = [
        HeldJudge(one.name, "self", one, _held(own[one.pk], people)) for one in checkpoints if own.get(one.pk)
    ] + [HeldJudge(names[judge], "teacher", None, _held(scores, people)) for judge, scores in teachers.items()]
    missing = sum(any(response not in own.get(one.pk, {}) for one in checkpoints) for response in people)
    return RunJudges(run, queues, len(people), judges, missing, _drift(checkpoints, people, own))


def _held(scores: Mapping[int, float | None], people: BlindScores) -> Calibration:
    prompts: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for response, score in scores.items():
        prompt, said = people[response]
        if score is not None:
            prompts[prompt].append((score, said))
    return calibrate([prompts[prompt] for prompt in sorted(prompts)])


def _drift(checkpoints: list[Checkpoint], people: BlindScores, own: Scores) -> Drift | None:
    """Whether the newest checkpoint's judge drifts."""
    rewards = _self_rewards(checkpoints)
    judges = []
    for checkpoint in checkpoints:
        held: dict[int, dict[int, tuple[float, float]]] = defaultdict(dict)
        for response, score in own.get(checkpoint.pk, {}).items():
            prompt, said = people[response]
            if score is not None:
                held[prompt][response] = (score, said)
        if held:
            judges.append(CheckpointJudge(checkpoint.name, rewards.get(checkpoint.pk, {}), held))
    return latest_drift(judges)


def _self_rewards(checkpoints: list[Checkpoint]) -> dict[int, dict[int, list[float]]]:
    """By checkpoint and held-out prompt: what the checkpoint gave its own sampled answers in its evaluation."""
    found: dict[int, dict[int, list[float]]] = {}
    rows = Judgement.objects.filter(
        judge__checkpoint__in=checkpoints,
        source=Judgement.Source.SELF,
        response__purpose=Response.Purpose.PROBE,
        response__checkpoint=F("judge__checkpoint"),
    )
    for checkpoint, prompt, score in rows.values_list("judge__checkpoint", "response__prompt", "score"):
        if checkpoint is not None and score is not None:
            found.setdefault(checkpoint, {}).setdefault(prompt, []).append(score)
    return found


def runs_held_to(queue: Queue) -> list[RunJudges]:
    """Runs of which two checkpoints or more are held to this held-out queue's items, the newest first."""
    if queue.kind != Queue.Kind.SCORE or not queue.held_out:
        return []
    judged = Judgement.objects.filter(
        response__in=queue.tasks.values("first"), source=Judgement.Source.SELF, judge__checkpoint__isnull=False
    )
    runs: dict[Any, set[Any]] = defaultdict(set)
    for run, checkpoint in judged.order_by().values_list("judge__run", "judge__checkpoint").distinct():
        runs[run].add(checkpoint)
    several = [pk for pk, checkpoints in runs.items() if len(checkpoints) > 1]
    found = (judges_of_run(run) for run in Run.objects.filter(pk__in=several).order_by("-pk")[:10])
    return [one for one in found if one]
