"""The compare page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from alignment_app.models import Checkpoint, Judgement, Prompt, Run
from alignment_app.pages import compare as selectors
from alignment_app.pages.checkpoints import answers_of
from tests.support.judge_rows import teacher_judge
from tests.support.stories import Story

pytestmark = pytest.mark.django_db

AsRole = Callable[[str], Client]
FEW = {"dataset": "story-prompts", "count": 8}


@pytest.fixture
def two_runs() -> tuple[Run, Run]:
    """Two runs with different loss and seed; the second is better on 12 prompts, worse on 4, equal on 3."""
    one = Story.launch(name="first", prompts=FEW).to_the_end().run
    changes = {"seed": 7, "training": {"loss": "dpo", "beta": 0.2}}
    two = Story.launch(name="second", prompts=FEW, **changes).to_the_end().run
    for place, prompt in enumerate(Prompt.objects.filter(dataset__name="story-test").order_by("position")[:20]):
        same = 3.0, 10 * (0.1 * 3)  # differ by rounding
        scores = (2.0, 4.0) if place < 12 else (4.0, 2.0) if place < 16 else same if place < 19 else (3.0, None)
        for run, score in zip((one, two), scores, strict=True):
            answer = answers_of(run.checkpoints.get(number=3)).get(prompt=prompt)
            Judgement.objects.create(response=answer, source="teacher", judge=teacher_judge(run), score=score)
    return one, two


def both(runs: tuple[Run, Run]) -> list[selectors.Column]:
    return selectors.columns([run.pk for run in runs], [])


def test_without_checkpoints_the_page_says_what_is_needed(as_role: AsRole) -> None:
    text = as_role("viewer").get(reverse("compare")).content.decode()
    assert "No checkpoints to compare" in text


def test_unknown_runs_and_checkpoints_are_named(as_role: AsRole) -> None:
    bare = Run.objects.create(name="bare", config={}, config_hash="0")
    address = f"{reverse('compare')}?run=999&run={bare.pk}&checkpoint=7&run=abc&run=999"
    text = as_role("viewer").get(address).content.decode()
    assert text.count("Run 999 does not exist.") == 1
    assert f"Run {bare.pk} has no checkpoint yet." in text
    assert "Checkpoint 7 does not exist." in text
    assert "Run abc does not exist." in text


def test_with_checkpoints_and_no_choice_the_page_offers_them(as_role: AsRole, two_runs: tuple[Run, Run]) -> None:
    text = " ".join(as_role("viewer").get(reverse("compare")).content.decode().split())
    assert f'name="run" value="{two_runs[0].pk}"' in text
    assert "Choose two to" in text


def test_one_choice_asks_for_another(as_role: AsRole, two_runs: tuple[Run, Run]) -> None:
    text = as_role("viewer").get(f"{reverse('compare')}?run={two_runs[0].pk}").content.decode()
    assert "Choose at least one more" in text


def test_a_run_is_represented_by_its_newest_evaluated_checkpoint(two_runs: tuple[Run, Run]) -> None:
    one, _ = two_runs
    Checkpoint.objects.create(run=one, number=4, kind="preference", config_hash="0", location="x")
    assert [column.title for column in both(two_runs)] == ["first · M3", "second · M3"]


def test_the_page_shows_only_the_settings_that_differ(as_role: AsRole, two_runs: tuple[Run, Run]) -> None:
    rows = {row.field: row.values for row in selectors.setting_rows(both(two_runs))}
    assert rows == {
        "seed": [0, 7],
        "training.loss": ["sr_dpo", "dpo"],
        "training.beta": [0.1, 0.2],
    }
    one, two = two_runs
    text = as_role("viewer").get(f"{reverse('compare')}?run={one.pk}&run={two.pk}").content.decode()
    assert "training.loss" in text
    assert "sft.learning_rate" not in text


def test_a_config_of_another_version_is_compared_as_it_was_kept(two_runs: tuple[Run, Run]) -> None:
    one, _ = two_runs
    one.config = one.config | {"a_field_of_old": 1}
    one.save()
    rows = {row.field: row.values for row in selectors.setting_rows(both(two_runs))}
    assert rows["a_field_of_old"] == [1, None]
    assert rows["training.beta"] == [0.1, 0.2]


def test_checkpoints_of_one_run_have_no_different_settings(as_role: AsRole, two_runs: tuple[Run, Run]) -> None:
    query = "&".join(f"checkpoint={one.pk}" for one in two_runs[0].checkpoints.filter(number__in=(2, 3)))
    text = as_role("viewer").get(f"{reverse('compare')}?{query}").content.decode()
    assert "checkpoints of the same run" in text


@pytest.mark.parametrize(
    ("low", "high", "best"),
    [(3.9, 4.5, [False, True]), (3.6, 4.8, [False, False]), (None, None, [False, False])],
    ids=["apart", "overlapping", "without"],
)
def test_the_best_of_a_metric_is_marked_only_where_intervals_do_not_overlap(
    two_runs: tuple[Run, Run], low: float | None, high: float | None, best: list[bool]
) -> None:
    intervals = ({"score_low": 3.3, "score_high": 3.7}, {"score_low": low, "score_high": high})
    for run, mean, interval in zip(two_runs, (3.5, 4.2), intervals, strict=True):
        evaluation = run.checkpoints.get(number=3).evaluation
        evaluation.metrics |= {"mean_score": mean, "response_tokens_mean": 99.0 * mean, **interval}
        evaluation.save()
    rows = {row.metric.key: row.cells for row in selectors.metric_rows(both(two_runs))}
    assert [cell.best for cell in rows["mean_score"]] == best
    assert [cell.best for cell in rows["response_tokens_mean"]] == [False, False]
    assert "sign_test_p" not in rows  # neither has it


def test_the_tally_counts_prompts_where_both_have_a_score(two_runs: tuple[Run, Run]) -> None:
    page, tally = selectors.prompts_page(both(two_runs), "", 1)
    assert tally is not None
    assert (tally.counts.wins, tally.counts.ties, tally.counts.losses) == (12, 3, 4)
    assert tally.counts.low is not None
    assert tally.counts.low < (12 + 3 / 2) / 19 < (tally.counts.high or 0)
    assert (tally.gain.value, tally.gain.items) == (pytest.approx((12 * 2 - 4 * 2) / 19), 19)
    assert tally.gain.low is not None
    assert 0 < tally.gain.low < tally.gain.value < (tally.gain.high or 0)
    assert page.paginator.count == 20


def test_prompts_are_kept_by_outcome(as_role: AsRole, two_runs: tuple[Run, Run]) -> None:
    one, two = two_runs
    client = as_role("viewer")
    for show, count in (("better", 12), ("worse", 4), ("same", 3), ("", 20), ("odd", 20)):
        page, _ = selectors.prompts_page(both(two_runs), show, 1)
        assert page.paginator.count == count
        assert client.get(f"{reverse('compare')}?run={one.pk}&run={two.pk}&show={show}").status_code == 200


def test_an_answer_is_marked_best_only_where_scores_differ(two_runs: tuple[Run, Run]) -> None:
    page, _ = selectors.prompts_page(both(two_runs), "", 1)
    rows = list(page)
    assert [answer.best for answer in rows[0].answers] == [False, True]
    assert [answer.best for answer in rows[12].answers] == [True, False]
    assert [answer.best for answer in rows[16].answers] == [False, False]
    assert [answer.best for answer in rows[19].answers] == [False, False]


def test_runs_without_shared_prompts_name_the_setting_to_change(as_role: AsRole, two_runs: tuple[Run, Run]) -> None:
    one, two = two_runs
    answers_of(two.checkpoints.get(number=3)).update(purpose="probe")
    text = as_role("viewer").get(f"{reverse('compare')}?run={one.pk}&run={two.pk}").content.decode()
    assert "evaluation.dataset" in text


def test_an_odd_choice_is_answered_with_a_page(as_role: AsRole, two_runs: tuple[Run, Run]) -> None:
    client = as_role("viewer")
    for query in ("run=999999&run=x", "checkpoint=-1", "run=1&run=1&page=zz", f"run={'9' * 40}", "checkpoint=²"):
        assert client.get(f"{reverse('compare')}?{query}").status_code == 200, query


def test_a_prompt_shows_the_verdict_of_both_orders_if_both_were_compared(
    two_runs: tuple[Run, Run],
) -> None:
    m2, m3 = two_runs[0].checkpoints.get(number=2), two_runs[0].checkpoints.get(number=3)
    for order, outcomes in (((m2, m3), ["win", "tie", "lose"]), ((m3, m2), ["lose", "tie", "win"])):
        page, _ = selectors.prompts_page(selectors.columns([], [one.pk for one in order]), "", 1)
        rows = list(page)
        assert all(row.judged_in == m3 for row in rows)
        assert [rows[place].outcome for place in (0, 9, 16)] == outcomes


def test_without_such_a_verdict_the_outcome_is_by_score_and_open_where_one_is_missing(
    two_runs: tuple[Run, Run],
) -> None:
    page, _ = selectors.prompts_page(both(two_runs), "", 1)
    rows = list(page)
    assert [rows[place].outcome for place in (0, 12, 16, 19)] == ["win", "lose", "tie", ""]
    assert not any(row.judged_in for row in rows)


def test_at_most_five_columns_are_shown(two_runs: tuple[Run, Run]) -> None:
    every = list(Checkpoint.objects.values_list("pk", flat=True))
    assert len(every) > selectors.MOST_COLUMNS
    assert len(selectors.columns([], every)) == selectors.MOST_COLUMNS
