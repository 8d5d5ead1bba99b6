"""Judge–human agreement: people's blind scores, and how each judge's scores compare with them."""

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

#: Judges are compared on at most this many responses, the newest.
MAX_RESPONSES = 1500
CHUNK = 500
#: By response id: its prompt id, and the mean of people's blind scores (0 to 5).
BlindScores = Mapping[int, tuple[int, float]]
#: By checkpoint id and response id: the judge's score, ``None`` if its reply was unparsed.
Scores = dict[int, dict[int, float | None]]


def answers_in_force(queues: Iterable[Queue]) -> QuerySet[Review]:
    """Answers in force on items that are not gold. Adjudications, flags and skips are left out."""
    return Review.objects.filter(
        queue__in=list(queues), in_force=True, adjudication=False, decision__in=Review.DECISIVE,
        task__expected__isnull=True,
    )  # fmt: skip


def blind_scores(queues: Iterable[Queue]) -> BlindScores:
    """The mean score per response that people gave before the judge was shown."""
    given: dict[tuple[int, int], list[float]] = defaultdict(list)
    rows = answers_in_force(queues).filter(blind=True).order_by("-pk")
    wanted = ("task__prompt", "task__first", "score", "first_answer")
    for prompt, response, score, first in rows.values_list(*wanted)[: 6 * MAX_RESPONSES]:
        if (prompt, response) not in given and len(given) == MAX_RESPONSES:
            continue
        blind = (first or {}).get("score", score)
        if blind is not None:
            given[prompt, response].append(blind)
    return {response: (prompt, sum(all_) / len(all_)) for (prompt, response), all_ in given.items()}


def held_out_queues(run: Run) -> list[Queue]:
    """Held-out score queues on the run's responses, or on prompts of a data set that the run uses."""
    config = run.typed_config
    names = {config.prompts.dataset, config.evaluation.dataset, config.candidates.from_dataset}
    datasets = Dataset.objects.filter(Q(name__in=names - {""}) | Q(run=run))
    inside = Task.objects.filter(queue=OuterRef("pk"), prompt__dataset__in=datasets)
    queues = Queue.objects.filter(kind=Queue.Kind.SCORE, held_out=True)
    return list(queues.filter(Q(iteration__run=run) | Exists(inside)).order_by("pk"))


def waiting_for_scores(run: Run) -> Queue | None:
    """The held-out queue that measures this run's judges; open queues first, then the newest."""
    queues = sorted(held_out_queues(run), key=lambda queue: (not queue.is_open, -queue.pk))
    return queues[0] if queues else None


def reviewed_blind(run: Run) -> QuerySet[Response]:
    """The responses of held-out queues that people scored blind."""
    return Response.objects.filter(pk__in=list(blind_scores(held_out_queues(run))))


@dataclass(frozen=True, slots=True)
class JudgeAgreement:
    """Agreement of one judge with people. ``checkpoint`` is ``None`` for the teacher and the evaluator."""

    name: str
    source: str
    checkpoint: Checkpoint | None
    figures: Calibration


@dataclass(frozen=True, slots=True)
class RunJudges:
    """Judge–human agreement of a run's judges, by iteration, with teacher and evaluator last.

    ``reviewed``: number of responses that people scored blind. ``missing``: how many of them some checkpoint has not
    judged, because people scored them after its evaluation.
    """

    run: Run
    queues: list[Queue]
    reviewed: int
    judges: list[JudgeAgreement]
    missing: int
    drift: Drift | None


def judges_of_run(run: Run) -> RunJudges | None:
    """Judge–human agreement of every judge of a run; ``None`` if no response of a held-out queue was scored blind.

    Cached until a score or a judgement is added or taken back.
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
    result = cache.get(key)
    if result is None:
        result = _judges_of_run(run, queues)
        cache.set(key, result, 3600)
    return result if result.reviewed else None


def _judges_of_run(run: Run, queues: list[Queue]) -> RunJudges:
    people = blind_scores(queues)
    checkpoints = list(run.checkpoints.filter(number__gte=1).order_by("number"))
    own: Scores = defaultdict(dict)
    others: dict[int, dict[int, float | None]] = defaultdict(dict)
    names: dict[int, str] = {}
    sources: dict[int, str] = {}
    ids = list(people)
    for start in range(0, len(ids), CHUNK):
        rows = Judgement.objects.filter(response__in=ids[start : start + CHUNK], iteration__run=run)
        wanted = ("response", "source", "judge", "judge__name", "judge__checkpoint", "score")
        for response, source, judge, name, checkpoint, score in rows.values_list(*wanted):
            if source == Judgement.Source.SELF and checkpoint:
                own[checkpoint][response] = score
            elif source in (Judgement.Source.TEACHER, Judgement.Source.REFERENCE):
                others[judge][response], names[judge], sources[judge] = score, name, source
    judges = [
        JudgeAgreement(one.name, "self", one, _calibration(own[one.pk], people))
        for one in checkpoints
        if own.get(one.pk)
    ] + [
        JudgeAgreement(names[judge], sources[judge], None, _calibration(scores, people))
        for judge, scores in others.items()
    ]
    missing = sum(any(response not in own.get(one.pk, {}) for one in checkpoints) for response in people)
    return RunJudges(run, queues, len(people), judges, missing, _drift(checkpoints, people, own))


def _calibration(scores: Mapping[int, float | None], people: BlindScores) -> Calibration:
    prompts: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for response, score in scores.items():
        prompt, said = people[response]
        if score is not None:
            prompts[prompt].append((score, said))
    return calibrate([prompts[prompt] for prompt in sorted(prompts)])


def _drift(checkpoints: list[Checkpoint], people: BlindScores, own: Scores) -> Drift | None:
    """Drift of the newest checkpoint's judge, if any."""
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
    """Scores (0 to 5) that each checkpoint gave its own answers in its evaluation, by checkpoint id and prompt id."""
    rewards: dict[int, dict[int, list[float]]] = {}
    rows = Judgement.objects.filter(
        judge__checkpoint__in=checkpoints,
        source=Judgement.Source.SELF,
        response__purpose=Response.Purpose.PROBE,
        response__checkpoint=F("judge__checkpoint"),
    )
    for checkpoint, prompt, score in rows.values_list("judge__checkpoint", "response__prompt", "score"):
        if checkpoint is not None and score is not None:
            rewards.setdefault(checkpoint, {}).setdefault(prompt, []).append(score)
    return rewards


def runs_measured_by(queue: Queue) -> list[RunJudges]:
    """Runs with at least two checkpoints that judged this held-out queue's responses, newest run first."""
    if queue.kind != Queue.Kind.SCORE or not queue.held_out:
        return []
    judged = Judgement.objects.filter(
        response__in=queue.tasks.values("first"), source=Judgement.Source.SELF, judge__checkpoint__isnull=False
    )
    runs: dict[Any, set[Any]] = defaultdict(set)
    for run, checkpoint in judged.order_by().values_list("judge__run", "judge__checkpoint").distinct():
        runs[run].add(checkpoint)
    several = [pk for pk, checkpoints in runs.items() if len(checkpoints) > 1]
    results = (judges_of_run(run) for run in Run.objects.filter(pk__in=several).order_by("-pk")[:10])
    return [one for one in results if one]
