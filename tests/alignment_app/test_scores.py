"""Effective scores, read from the database."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from django.contrib.auth.models import User

from alignment_app.models import Dataset, Iteration, Judge, Judgement, Prompt, Response, Run
from alignment_app.selectors import scores
from alignment_app.services.judge_rows import imported_judge, judge_for, person_judge
from training.domain.score_rule import ScoreRule

pytestmark = pytest.mark.django_db


@pytest.fixture
def iteration() -> Iteration:
    run = Run.objects.create(name="run", config={}, config_hash="", paradigm="self_reward")
    return Iteration.objects.create(run=run, number=1, score_rule=ScoreRule("self").as_data())


@pytest.fixture
def response(iteration: Iteration) -> Response:
    dataset = Dataset.objects.create(name="set", kind=Dataset.Kind.SCORED)
    prompt = Prompt.objects.create(dataset=dataset, source="imported", messages=[], text="Why?", content_hash="h")
    return Response.objects.create(prompt=prompt, source="imported", purpose="candidate", index=0, text="So.")


def give(response: Response, source: str, judge: Judge, score: float | None, iteration: Iteration | None) -> None:
    Judgement.objects.create(response=response, source=source, judge=judge, score=score, iteration=iteration)


def score_of(
    response: Response, rule: ScoreRule, *, people: bool = True, supposed: Mapping[int, float | None] | None = None
) -> float | None:
    found = Response.objects.filter(pk=response.pk)
    (row,) = scores.scored(found, rule, with_people=people, supposed=supposed)
    return row.score


def test_the_rule_of_the_iteration_says_whose_score_counts(iteration: Iteration, response: Response) -> None:
    own, other = (judge_for(Judge.Kind.MODEL, name, run=iteration.run) for name in ("M1", "M2"))
    give(response, "self", own, 2.0, iteration)
    give(response, "self", other, 5.0, iteration)
    give(response, "self", imported_judge("column"), 4.0, None)
    give(response, "teacher", own, 1.0, iteration)
    assert score_of(response, ScoreRule("self", own.pk)) == 2.0
    assert score_of(response, ScoreRule("self", other.pk)) == 5.0
    assert score_of(response, ScoreRule("self")) == 4.0  # the imported score
    assert score_of(response, ScoreRule("teacher", own.pk)) == 1.0
    assert score_of(response, ScoreRule("teacher")) is None
    assert scores.judgements(Response.objects.all(), ScoreRule("self", own.pk)).get().score == 2.0


def test_people_count_before_the_judge_and_what_is_supposed_before_people(
    iteration: Iteration, response: Response
) -> None:
    own = judge_for(Judge.Kind.MODEL, "M1", run=iteration.run)
    rule = ScoreRule("self", own.pk)
    give(response, "human", person_judge("ana", None), 3.0, iteration)
    give(response, "self", own, 2.0, iteration)
    assert score_of(response, rule) == 3.0
    assert score_of(response, rule, people=False) == 2.0
    assert score_of(response, rule, supposed={response.pk: 5.0}) == 5.0


def test_the_judge_of_equal_fields_is_one_row_and_a_deleted_person_s_stays(response: Response) -> None:
    ana = User.objects.create_user("ana")
    judge = person_judge("ana", ana.pk)
    assert person_judge("ana", ana.pk) == judge
    give(response, "human", judge, 3.0, None)
    ana.delete()
    kept = Judgement.objects.select_related("judge").get()
    assert (kept.judge, kept.judge.person, kept.judge.label) == (judge, None, "ana")
    assert person_judge("ana", None) == judge
    # Another person with the same name is another judge.
    assert person_judge("ana", User.objects.create_user("ana").pk) != judge
    assert imported_judge("ana").kind == "imported"
    assert imported_judge("ana") == imported_judge("ana")
