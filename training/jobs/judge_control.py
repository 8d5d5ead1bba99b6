"""Does a judge that gave one score to almost all responses tell responses apart? It scores them as answers to others.

If the model became good, almost all responses deserve one score. The judge then gives a lower score to the same
responses as answers to other prompts; a judge that cannot discriminate does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from django.db.models import QuerySet

from alignment_app.models import Checkpoint, Judgement
from alignment_app.selectors.work import prompt_row
from alignment_app.services import events
from training.config import ModelRole
from training.domain import alarms
from training.domain.alarms import Health
from training.domain.rows import PromptRow, ResponseRow
from training.domain.seeds import derive_seed
from training.engines.base import EngineError
from training.jobs.stage_work import StageWork
from training.stages.judgements import JudgeItem, judge_responses

RESPONSES: Final = 40  # judged once more each; only if the alarm would be raised


def controlled(
    job: StageWork,
    health: Health,
    judgements: QuerySet[Judgement],
    *,
    checkpoint: Checkpoint | None,
    role: ModelRole = "teacher",
) -> Health:
    """Return the health with the control, if the judge gave almost one score; else the health itself.

    Args:
        judgements: the scores that the health is computed from.
        checkpoint, role: the judge, as in :meth:`StageWork.judge`.

    If the judge does not answer, the reason is logged and the health is returned without the control: the scores of the
    stage stay valid.
    """
    if not alarms.gave_one_score(health):
        return health
    settings = job.config.judge_settings(role)
    items, own = _items(job, judgements)
    try:
        engine = job.student(checkpoint) if checkpoint else job.model(role)
        drafts = list(judge_responses(items, engine, job.judge_of(settings.template), job.sampling(settings.sampling)))
    except EngineError as error:
        text = f"Whether the judge discriminates could not be measured. {error}"
        events.log(job.run.pk, text, "warning")
        return health
    asked = {item.response.id: item.prompt.id for item in items}
    rows = [
        (draft.response_id, asked[draft.response_id], own[draft.response_id], draft.mean)
        for draft in drafts
        if draft.mean is not None
    ]
    return replace(health, control=alarms.control(rows))


def _items(job: StageWork, judgements: QuerySet[Judgement]) -> tuple[list[JudgeItem], dict[int, float]]:
    """Return one scored response per prompt, each with the next one's prompt, and the scores by response."""
    chosen = list(_one_per_prompt(job, judgements))
    others = [prompt for _, prompt, _ in chosen[1:] + chosen[:1]]
    items = [
        JudgeItem(response, other, (job.seed("judge control", prompt.words, other.words),))
        for (response, prompt, _), other in zip(chosen, others, strict=True)
    ]
    return items, {response.id: score for response, _, score in chosen}


def _one_per_prompt(job: StageWork, judgements: QuerySet[Judgement]) -> Iterator[tuple[ResponseRow, PromptRow, float]]:
    scored = judgements.filter(score__isnull=False).select_related("response__prompt").order_by("response_id")
    first: dict[str, Judgement] = {}
    for judgement in scored.iterator(chunk_size=2000):
        first.setdefault(prompt_row(judgement.response.prompt).words, judgement)
    if len(first) < 2:
        return
    order = sorted(first, key=lambda words: derive_seed(job.config.seed, "judge control", words))
    for words in order[:RESPONSES]:
        judgement = first[words]
        row = judgement.response
        assert judgement.score is not None
        yield ResponseRow(row.pk, row.prompt_id, row.index, row.text), prompt_row(row.prompt), judgement.score
