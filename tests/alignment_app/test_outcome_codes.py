"""Migration of outcome texts to codes, and page filters by code."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps

from alignment_app.models import Dataset, Iteration, IterationPrompt, Prompt, Run, Stage, StageAttempt
from alignment_app.selectors.samples import prompts_page
from training.domain.eft import OUTCOME_WORDS
from training.domain.pairing import demonstration_pairs, max_min_pairs, random_pairs
from training.domain.rows import AGREEING, PromptOutcome, ResponseRow, ScoredResponse

pytestmark = pytest.mark.django_db


def _scored(*scores: float | None, texts: str = "abcdef") -> list[ScoredResponse]:
    return [ScoredResponse(place, 1, place, texts[place], score) for place, score in enumerate(scores)]


def _written(text: str) -> ResponseRow:
    return ResponseRow(1, 1, 0, text)


#: What the code says of each way in which a prompt ends: its outcome has the sentence that older versions stored.
OUTCOMES = [
    *max_min_pairs(_scored(3, 5)),
    *max_min_pairs(_scored(3, 3)),
    *max_min_pairs(_scored(None, 4)),
    *max_min_pairs(_scored(3, 5, texts="aa")),
    *max_min_pairs(_scored(3, 3.3), min_margin=0.5),
    *random_pairs(_scored(3, 5), run_seed=0),
    *demonstration_pairs([], [_written("s")]),
    *demonstration_pairs([_written("t")], []),
    *demonstration_pairs([_written("t")], [_written("t")]),
    *demonstration_pairs([_written("t")], [_written("s")]),
]
SENTENCES = [(row.code, row.reason) for row in OUTCOMES]
SENTENCES += [(PromptOutcome.PAIR, "As the data set has it."), *OUTCOME_WORDS.items()]


@pytest.fixture
def iteration() -> Iteration:
    run = Run.objects.create(name="old", config={}, config_hash="h")
    return Iteration.objects.create(run=run, number=0)


def _use(iteration: Iteration, position: int, outcome: str, code: str = "") -> IterationPrompt:
    dataset, _ = Dataset.objects.get_or_create(name="old", defaults={"kind": "prompts"})
    prompt = Prompt.objects.create(
        dataset=dataset,
        source="imported",
        messages=[],
        text=str(position),
        position=position,
        content_hash=str(position),
    )
    return IterationPrompt.objects.create(
        iteration=iteration, prompt=prompt, position=position, outcome=outcome, outcome_code=code
    )


def _migrate() -> None:
    import_module("alignment_app.migrations.0020_outcome_codes").name_old_outcomes(apps, None)


def test_every_sentence_of_old_rows_gets_its_code(iteration: Iteration) -> None:
    for position, (_, sentence) in enumerate(SENTENCES):
        _use(iteration, position, sentence)
    empty = _use(iteration, len(SENTENCES), "")
    _migrate()
    found = iteration.iteration_prompts.order_by("position").values_list("outcome_code", flat=True)
    assert list(found) == [code.value for code, _ in SENTENCES] + [""]
    assert empty.outcome_code == ""


def test_reasons_that_were_counted_by_sentence_are_counted_by_code(iteration: Iteration) -> None:
    counted = {
        "All 4 scored responses have the same score, 3.": 2,
        "All 3 scored responses have the same score, 0.": 1,
        "The teacher gave no response.": 5,
    }
    stage = Stage.objects.create(
        iteration=iteration, kind="pairs", position=0, queue="light", result={"pairs": 4, "none": 8, "reasons": counted}
    )
    _migrate()
    stage.refresh_from_db()
    assert stage.result == {"pairs": 4, "none": 8, "reasons": {"same_score": 3, "no_demonstration": 5}}


@pytest.mark.parametrize(
    ("outcome", "reason", "code"),
    [
        ("paused", "The judge drifts. From M1 to M2 …", "drift"),
        ("paused", "The worker was stopped.", "worker_stopped"),
        ("crashed", "The process at work (pid 7) died.", "died"),
        ("crashed", "The worker has been silent for 60 seconds: its process or machine died.", "silent"),
        ("failed", "The judge drifts. It is said elsewhere.", ""),
        ("paused", "", ""),
    ],
)
def test_old_attempts_get_the_code_of_their_reason(iteration: Iteration, outcome: str, reason: str, code: str) -> None:
    stage = Stage.objects.create(iteration=iteration, kind="evaluation", position=0, queue="generation")
    from django.utils import timezone

    attempt = StageAttempt.objects.create(
        stage=stage,
        number=1,
        worker="w",
        host="h",
        pid=7,
        lease_expires_at=timezone.now(),
        outcome=outcome,
        reason=reason,
    )
    _migrate()
    attempt.refresh_from_db()
    assert attempt.reason_code == code


def test_prompts_that_rank_as_people_do_are_found_by_their_code(iteration: Iteration) -> None:
    for position, code in enumerate(OUTCOME_WORDS):
        _use(iteration, position, "whatever it says", code)
    shown = prompts_page(iteration, show="agrees").object_list
    assert {sample.outcome for sample in shown} == {"whatever it says"}
    assert len(shown) == len(AGREEING)
