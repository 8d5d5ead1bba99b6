"""Judging rows (EFT data) of a run, stored as two data sets: training and held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alignment_app.models import Dataset, Iteration, IterationPrompt, Prompt, Response, StageAttempt
from alignment_app.services.rows import BATCH
from alignment_app.services.stages import leased
from training.domain.eft import OUTCOME_WORDS, Part
from training.domain.importing import content_hash
from training.domain.rows import LEFT_OUT, Message, PromptOutcome, storable

_ABOUT = {
    "train": "Judgements that agree with human rankings, used to train M1.",
    "eval": "Judgements that agree with human rankings, held out to measure the judge.",
}


@dataclass(frozen=True, slots=True)
class EFTRow:
    """A judge prompt and a reply, with the judged response."""

    prompt: str
    reply: str
    score: float
    of_response: int


def name_of(run_id: int, part: Part) -> str:
    """Return the name of a run's data set of judging rows."""
    return f"run {run_id}: EFT, {part}"


def save(
    attempt: StageAttempt,
    iteration: Iteration,
    rows: Mapping[Part, Sequence[EFTRow]],
    outcomes: Mapping[int, PromptOutcome],
) -> None:
    """Save the judging rows and the outcome of each prompt (by id). Existing rows are kept."""
    with leased(attempt):
        for part, found in rows.items():
            dataset, is_new = Dataset.objects.get_or_create(
                name=name_of(iteration.run_id, part),
                defaults={
                    "kind": Dataset.Kind.DEMONSTRATIONS,
                    "run_id": iteration.run_id,
                    "description": _ABOUT[part],
                },
            )
            if is_new:
                _fill(dataset, found)
        uses = list(iteration.iteration_prompts.filter(role=IterationPrompt.Role.TRAIN))
        for use in uses:
            code = outcomes.get(use.prompt_id)
            if use.outcome_code in LEFT_OUT and code in (None, PromptOutcome.RANKING_UNKNOWN):
                continue  # it says why too few replies held a score
            use.outcome_code, use.outcome = (code, OUTCOME_WORDS[code]) if code else ("", "")
        IterationPrompt.objects.bulk_update(uses, ["outcome", "outcome_code"], batch_size=BATCH)


def _fill(dataset: Dataset, rows: Sequence[EFTRow]) -> None:
    prompts: dict[str, Prompt] = {}
    replies: list[Response] = []
    for row in rows:
        messages: list[Message] = [{"role": "user", "content": storable(row.prompt)}]
        key = content_hash(messages)
        if key in prompts:
            continue  # two responses with the same text give one row
        prompts[key] = Prompt(
            dataset=dataset,
            source=Prompt.Source.GENERATED,
            messages=messages,
            text=messages[0]["content"],
            content_hash=key,
            position=len(prompts),
            meta={"score": row.score, "response": row.of_response},
        )
        reply = storable(row.reply)
        source, purpose = Response.Source.STUDENT, Response.Purpose.TARGET
        replies.append(Response(prompt=prompts[key], source=source, purpose=purpose, index=0, text=reply))
    Prompt.objects.bulk_create(prompts.values(), batch_size=BATCH)
    Response.objects.bulk_create(replies, batch_size=BATCH)
