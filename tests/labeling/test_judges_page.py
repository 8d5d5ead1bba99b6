"""The page on judge–human agreement, and the count of scores that can train a judge."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from alignment_app.models import Checkpoint, Iteration, Judgement
from labeling.models import Queue
from labeling.pages import judge_charts
from labeling.selectors import calibration
from labeling.selectors import corrections as correction_selectors
from labeling.services import reviews
from labeling.services.answers import Answer
from tests.support.judge_rows import checkpoint_judge
from tests.support.review import take
from training.config import RunConfig

pytestmark = pytest.mark.django_db
Make = Callable[..., Queue]


@pytest.fixture(autouse=True)
def _no_memory_between_tests() -> None:
    cache.clear()


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def score(queue: Queue, person: User, value: float, reason: str = "") -> None:
    reviews.submit(take(queue, person), Answer("score", score=value, reason=reason))


def judge_all(queue: Queue, iteration: Iteration, gives: Callable[[float], float]) -> Checkpoint:
    """Store judgements by M1 on the responses that people scored."""
    m1 = Checkpoint.objects.get(run=iteration.run, number=1)
    people = calibration.blind_scores([queue])
    Judgement.objects.filter(response__in=people).delete()
    for response, (_, said) in people.items():
        Judgement.objects.create(
            response_id=response, source="self", judge=checkpoint_judge(m1), iteration=iteration, score=gives(said),
        )  # fmt: skip
    return m1


def test_the_page_shows_only_blind_scores(
    make: Make, iteration: Iteration, annotators: list[User], lead: User, viewer: User
) -> None:
    address = reverse("review-judges", args=[iteration.run_id])
    assert "No blind scores yet" in client_of(lead).get(address).content.decode()
    assert (
        f"?kind=score&amp;held_out=on&amp;source=iteration:{iteration.pk}"
        in client_of(lead).get(address).content.decode()
    )
    asked = client_of(lead).get(reverse("review-new") + f"?kind=score&held_out=on&source=iteration:{iteration.pk}")
    assert re.search(r'name="held_out"\s+checked', asked.content.decode())
    queue = make("score", held_out=True, name="blind scores")
    page = client_of(lead).get(address).content.decode()
    assert "16 items to score" in page
    assert f'href="{reverse("review-desk", args=[queue.pk])}">Score items' in page
    assert "New queue" not in page
    assert reverse("review-desk", args=[queue.pk]) not in client_of(viewer).get(address).content.decode()
    Judgement.objects.filter(iteration=iteration).delete()
    for number in range(8):
        score(queue, annotators[number % 3], float(number % 6))
    page = client_of(lead).get(address).content.decode()
    assert "Not judged yet" in page
    assert "8 not judged by every model yet" in page
    judge_all(queue, iteration, lambda said: max(said - 1, 0))
    page = client_of(viewer).get(address).content.decode()
    assert "judge score 4, people's mean 5.00 (1 response)" in " ".join(page.split())
    assert 'style="' not in page
    assert client_of(annotators[0]).get(address).status_code == 403
    queue_page = client_of(lead).get(reverse("review-queue", args=[queue.pk])).content.decode()
    assert "Calibration curves" in queue_page
    assert "Scores that train the judge" not in queue_page


def test_prefilled_answers_do_not_measure_judges(make: Make, iteration: Iteration, annotators: list[User]) -> None:
    queue = make("score", held_out=True, prefill_share=1.0)
    score(queue, annotators[0], 3.0)
    assert not calibration.blind_scores([queue])
    assert calibration.judges_of_run(iteration.run) is None


def test_measures_change_when_an_answer_is_taken_back(
    make: Make, iteration: Iteration, annotators: list[User], lead: User
) -> None:
    queue = make("score", held_out=True)
    for value in (0.0, 5.0, 1.0):
        score(queue, annotators[0], value)
    judge_all(queue, iteration, lambda said: said)
    found = calibration.judges_of_run(iteration.run)
    assert found is not None
    assert found.judges[0].figures.responses == 3
    reviews.take_back(queue.reviews.first(), by=lead)  # type: ignore[arg-type]
    found = calibration.judges_of_run(iteration.run)
    assert found is not None
    assert found.judges[0].figures.responses == 2


def test_a_judge_of_the_next_model_makes_no_pairs_of_this_iteration(
    make: Make, iteration: Iteration, annotators: list[User]
) -> None:
    from labeling.selectors import pairing

    m1 = Checkpoint.objects.get(run=iteration.run, number=1)
    m2 = Checkpoint.objects.create(
        run=iteration.run, number=2, kind="preference", parent=m1, iteration=iteration, config_hash="x", location="x"
    )
    first = iteration.responses.order_by("prompt_id").first()
    assert first is not None
    Judgement.objects.filter(response=first).delete()
    Judgement.objects.create(
        response=first, iteration=iteration, source="self", judge=checkpoint_judge(m2), score=5.0
    )  # fmt: skip
    rows = pairing.scored_responses(iteration, first.prompt_id, pairing.pairing_rule(iteration))
    assert {row.id: row.score for row in rows}[first.pk] is None


def test_the_launch_form_counts_the_scores_of_the_selected_data(
    make: Make, iteration: Iteration, annotators: list[User], lead: User
) -> None:
    queue = make("score")
    for value in (1.0, 2.0, 3.0):
        score(queue, annotators[0], value, "Says why.")
    score(queue, annotators[0], 4.0)
    client = client_of(lead)
    address = reverse("launch") + f"?clone={iteration.run_id}&set=sft.enabled=true"
    page = client.get(address + "&set=sft.corrections=same_data").content.decode()
    assert "3 human scores will train the judge." in " ".join(page.split())
    assert "1 without a reason is left out." in " ".join(page.split())
    form = {"name": "again", "paradigm": "self_reward", "student.model": "nobody/nothing", "sft.enabled": "on",
            "sft.corrections": "same_data", "prompts.source": "dataset", "prompts.dataset": "another"}  # fmt: skip
    from alignment_app.models import Dataset

    Dataset.objects.create(name="another", kind="prompts")
    checked = " ".join(client.post(reverse("launch-check"), form).content.decode().split())
    assert "0 human scores will train the judge." in checked
    checked = " ".join(client.post(reverse("launch-check"), form | {"sft.corrections": "all"}).content.decode().split())
    assert "3 human scores will train the judge." in checked
    bad = client.get(reverse("launch") + f"?clone={iteration.run_id}&set=sft.corrections=some")
    assert bad.status_code == 400
    assert "sft.corrections" in bad.content.decode()


def test_prompts_of_the_run_s_evaluation_do_not_train_a_judge(
    make: Make, iteration: Iteration, annotators: list[User]
) -> None:
    queue = make("score")
    score(queue, annotators[0], 2.0, "Says why.")
    data: dict[str, Any] = {**iteration.run.config, "sft": {"corrections": "all"}}
    config = RunConfig.parse(data)
    assert correction_selectors.count(correction_selectors.scores_for(config), config).usable == 1
    config = RunConfig.parse({**data, "evaluation": {"enabled": True, "dataset": config.prompts.dataset}})
    assert correction_selectors.count(correction_selectors.scores_for(config), config).usable == 0


@pytest.mark.parametrize(("low", "high"), [(0.91, 0.93), (-0.2, 0.9), (0.0, 0.0), (0.999, 1.0), (-5.0, 5.0)])
def test_axis_ticks_are_few_and_round_and_span_the_values(low: float, high: float) -> None:
    ticks = judge_charts.ticks(low, high, (-5.0, 5.0))
    assert 2 <= len(ticks) <= 7
    assert ticks[0] <= low
    assert high <= ticks[-1]
