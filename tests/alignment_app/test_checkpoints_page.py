"""Checkpoint pages: lineage, detail, and the rows behind each metric."""

from __future__ import annotations

import ast
import csv
import io
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from alignment_app.models import (
    Checkpoint,
    Comparison,
    Judge,
    Judgement,
    PreferencePair,
    Prompt,
    Response,
    Run,
    RunEvent,
)
from alignment_app.models.payloads import MetricsPayload
from alignment_app.pages import checkpoints as selectors
from alignment_app.pages.figures import figures
from alignment_app.pages.lineage import lineage
from alignment_app.services import events
from alignment_app.services.judge_rows import person_judge
from tests.support.judge_rows import checkpoint_judge, teacher_judge
from tests.support.stories import Story
from training.domain.training_metrics import TRAINING_METRICS
from training.evaluation.ranking_agreement import RankingAgreement
from training.evaluation.registry import evaluation_metrics, metric

pytestmark = pytest.mark.django_db

AsRole = Callable[[str], Client]
FEW = {"dataset": "story-prompts", "count": 8}


@pytest.fixture
def run() -> Run:
    """A finished run with M0 to M3; M3 is evaluated with scores and as a judge."""
    told = Story.launch(prompts=FEW).to_the_end().run
    last = told.checkpoints.get(number=3)
    for place, response in enumerate(selectors.answers_of(last)):
        _judged(response, Judgement.Source.TEACHER, teacher_judge(told), None if place == 0 else float(place % 6))
    prompt = Prompt.objects.filter(dataset__name="story-test").first()
    assert prompt is not None
    for index, (own, teacher) in enumerate([(5.0, 4.0), (1.0, 2.0), (None, 3.0)]):
        probe = Response.objects.create(
            prompt=prompt, iteration=last.iteration, checkpoint=last, source="student", purpose="probe", index=index,
            text=f"probe {index}",
        )  # fmt: skip
        _judged(probe, Judgement.Source.SELF, checkpoint_judge(last), own)
        _judged(probe, Judgement.Source.TEACHER, teacher_judge(told), teacher)
    return told


def _judged(response: Response, source: str, judge: Judge, score: float | None) -> Judgement:
    raw = "I would rather not say." if score is None else f"Fine.\nScore: {score}"
    return Judgement.objects.create(
        response=response, source=source, judge=judge, score=score, sample_count=1, parsed_count=int(score is not None),
        samples=[{"raw": raw, "score": score, "seed": 1}],
    )  # fmt: skip


def page_of(client: Client, name: str, pk: int, query: str = "") -> str:
    response = client.get(reverse(name, args=[pk]) + query)
    assert response.status_code == 200
    return response.content.decode()


def test_without_any_checkpoint_the_page_says_what_to_do_first(as_role: AsRole) -> None:
    text = as_role("viewer").get(reverse("checkpoints")).content.decode()
    assert "No checkpoints yet" in text
    assert reverse("launch") in text


def test_the_list_draws_model_data_model_with_links_to_each(as_role: AsRole, run: Run) -> None:
    text = as_role("viewer").get(reverse("checkpoints")).content.decode()
    for checkpoint in run.checkpoints.all():
        assert reverse("checkpoint", args=[checkpoint.pk]) in text
    assert "M3" in text
    assert "<svg" in text


def test_the_list_is_searched_by_run_name(as_role: AsRole, run: Run) -> None:
    client = as_role("viewer")
    assert run.name in client.get(reverse("checkpoints") + "?q=MINIATURE").content.decode()
    text = client.get(reverse("checkpoints") + "?q=nothing-of-that-name").content.decode()
    assert "No run found" in text


def test_the_list_asks_the_database_no_more_often_for_more_runs(
    run: Run, django_assert_max_num_queries: Callable
) -> None:
    with CaptureQueriesContext(connection) as one:
        list(selectors.runs_with_checkpoints("", 1))
    for _ in range(3):
        Story.launch(prompts=FEW).to_the_end()
    with django_assert_max_num_queries(len(one)):
        assert len(list(selectors.runs_with_checkpoints("", 1))) == 4


def test_lineage_puts_each_checkpoint_right_of_its_parent_with_its_data_between(run: Run) -> None:
    for checkpoint in run.checkpoints.filter(number__gt=0):
        checkpoint.snapshot = checkpoint.iteration.snapshot
        checkpoint.save()
    picture = lineage(list(selectors.checkpoints_of_runs().filter(run=run)))
    models = [node for node in picture.nodes if node.snapshot is None]
    data = [node for node in picture.nodes if node.snapshot is not None]
    assert [node.checkpoint.name for node in models] == ["M0", "M1", "M2", "M3"]
    assert len(data) == 3
    for before, between, after in zip(models, data, models[1:], strict=False):
        assert before.x + before.width < between.x
        assert between.x + between.width < after.x
    assert picture.width >= max(node.x + node.width for node in picture.nodes)


def test_lineage_gives_a_second_child_its_own_lane_and_draws_a_distant_reference_dashed(run: Run) -> None:
    m1, m3 = run.checkpoints.get(number=1), run.checkpoints.get(number=3)
    Checkpoint.objects.filter(pk=m3.pk).update(parent=m1, reference=run.checkpoints.get(number=0))
    picture = lineage(list(selectors.checkpoints_of_runs().filter(run=run)))
    height = {node.checkpoint.name: node.y for node in picture.nodes if node.snapshot is None}
    assert height["M2"] == height["M1"]
    assert height["M3"] > height["M1"]
    assert sum(edge.reference for edge in picture.edges) == 1


def test_a_checkpoint_shows_files_with_hashes_config_hash_and_a_snippet_that_parses(as_role: AsRole, run: Run) -> None:
    checkpoint = run.checkpoints.get(number=2)
    text = page_of(as_role("viewer"), "checkpoint", checkpoint.pk)
    assert "model.safetensors" in text
    assert "3.6\u00a0MB" in text
    assert "0" * 64 in text
    assert checkpoint.config_hash in text
    ast.parse(selectors.checkpoint_detail(checkpoint).snippet)


def test_an_adapter_is_loaded_by_peft_in_the_snippet(run: Run) -> None:
    checkpoint = run.checkpoints.get(number=2)
    checkpoint.files = [{"name": "adapter_config.json", "size": 5, "sha256": "0" * 64}]
    snippet = selectors.loading_snippet(checkpoint, "somewhere")
    ast.parse(snippet)
    assert "AutoPeftModelForCausalLM" in snippet


def test_a_location_with_quotes_stays_a_string_in_the_snippet(run: Run) -> None:
    location = 'it\'s "here"\\n'
    tree = ast.parse(selectors.loading_snippet(run.checkpoints.get(number=2), location))
    assert any(isinstance(node, ast.Constant) and node.value == location for node in ast.walk(tree))


def test_every_number_of_the_evaluation_opens_the_rows_behind_it(as_role: AsRole, run: Run) -> None:
    client, checkpoint = as_role("viewer"), run.checkpoints.get(number=3)
    detail = selectors.checkpoint_detail(selectors.checkpoints_of_runs().get(pk=checkpoint.pk))
    assert {"win", "mean_score", "judge_parse_rate"} <= {row.metric.key for row in detail.figures}
    for row in detail.figures:
        metric = row.metric
        query = f"?{metric.filter}" if metric.filter else ""
        assert f"{reverse(f'checkpoint-{metric.rows}', args=[checkpoint.pk])}{query}" in page_of(
            client, "checkpoint", checkpoint.pk
        )
        page_of(client, f"checkpoint-{metric.rows}", checkpoint.pk, query)


def test_metrics_without_a_value_are_skipped() -> None:
    rows = figures(evaluation_metrics(), {"mean_score": None, "win": 0, "judge_parse_rate": 0.5})
    assert [(row.metric.key, row.value) for row in rows] == [("win", 0), ("judge_parse_rate", 0.5)]


def test_final_training_metrics_are_shown() -> None:
    rows = figures(TRAINING_METRICS, {"resumed_from": 0, "accuracy": 0.75, "loss": 0.61, "margin": None})
    assert [(row.metric.key, row.text) for row in rows] == [("loss", "0.61"), ("accuracy", "75.0\u00a0%")]


def test_an_interval_and_the_number_of_items_stand_beside_a_value() -> None:
    values = {"mean_score": 3.1, "score_low": 2.9, "score_high": 3.25, "win_rate": 0.5, "win_low": 0.4, "win_high": 0.6}
    values |= {"judge_pairwise_accuracy": 0.8, "judge_pairs": 1340}
    notes = {row.metric.key: row.note for row in figures(evaluation_metrics(), values)}
    assert notes == {
        "mean_score": "95 % interval 2.90 to 3.25",
        "win_rate": "95 % interval 40 to 60\u00a0%",
        "judge_pairwise_accuracy": "of 1,340 pairs",
    }


def test_a_metric_missing_from_old_evaluations_is_computed_from_counts() -> None:
    (row,) = figures(RankingAgreement.metrics, {"ranking_scored": 3, "ranking_responses": 4})
    assert (row.metric.key, row.value) == ("ranking_parse_rate", 0.75)


def test_comparisons_are_kept_by_outcome_and_show_both_orders_in_words(as_role: AsRole, run: Run) -> None:
    client, checkpoint = as_role("viewer"), run.checkpoints.get(number=3)
    counts = {
        outcome: selectors.comparisons_page(checkpoint, outcome, 1).paginator.count
        for outcome in ("win", "tie", "lose", "")
    }
    assert counts == {"win": 9, "tie": 7, "lose": 4, "": 20}
    text = page_of(client, "checkpoint-comparisons", checkpoint.pk, "?outcome=lose")
    assert "M3 shown first: not preferred" in text
    assert "M3 shown second: not preferred" in text


def test_the_judges_replies_in_both_orders_are_shown_and_reached_by_prompt(as_role: AsRole, run: Run) -> None:
    client, checkpoint = as_role("viewer"), run.checkpoints.get(number=3)
    row, other = checkpoint.evaluation.comparisons.order_by("prompt__position", "pk")[:2]
    Comparison.objects.filter(pk=row.pk).update(raw_first="I say <first>.", raw_second="I say second.")
    text = page_of(client, "checkpoint-comparisons", checkpoint.pk, f"?prompt={row.prompt_id}")
    assert "I say &lt;first&gt;." in text
    assert "I say second." in text
    assert other.response.text not in text
    m2 = run.checkpoints.get(number=2)
    compared = client.get("/compare/", {"checkpoint": [m2.pk, checkpoint.pk]}).content.decode()
    assert f'href="/checkpoints/{checkpoint.pk}/comparisons/?prompt={row.prompt_id}"' in compared
    assert page_of(client, "checkpoint-comparisons", checkpoint.pk, "?prompt=x")


def test_answers_are_kept_by_score_and_an_unparsed_one_is_no_zero(run: Run) -> None:
    checkpoint = run.checkpoints.get(number=3)
    assert selectors.answers_page(checkpoint, "unparsed", "", 1).paginator.count == 1
    zeros = selectors.answers_page(checkpoint, "0", "", 1)
    assert zeros.paginator.count == 3
    assert all(score == 0 for answer in zeros for score in answer.judgements.values_list("score", flat=True))


def test_judgements_show_raw_replies_and_how_many_pairs_agree_without_the_unparsed(as_role: AsRole, run: Run) -> None:
    checkpoint = run.checkpoints.get(number=3)
    (item,) = selectors.judgements_page(checkpoint, "", 1)
    assert (item.agreed, item.pairs) == (1, 1)
    text = page_of(as_role("viewer"), "checkpoint-judgements", checkpoint.pk, "?only=unparsed")
    assert "I would rather not say." in text
    assert "unparsed" in text


def test_the_data_page_shows_the_pairs_and_who_decided_on_them(as_role: AsRole, run: Run) -> None:
    client, checkpoint = as_role("viewer"), run.checkpoints.get(number=2)
    checkpoint.snapshot = checkpoint.iteration.snapshot
    checkpoint.save()
    pair = PreferencePair.objects.filter(snapshot_items__snapshot=checkpoint.snapshot).first()
    assert pair is not None
    pair.state = "overridden"
    pair.save()
    ana = User.objects.create_user("ana")
    _judged(pair.chosen, Judgement.Source.HUMAN, person_judge("ana", ana.pk), 5.0)
    assert "ana (1)" in " ".join(page_of(client, "checkpoint", checkpoint.pk).split())
    text = page_of(client, "checkpoint-data", checkpoint.pk, "?state=overridden")
    assert "ana" in text
    assert selectors.snapshot_page(checkpoint.snapshot, "overridden", 1).paginator.count == 1
    assert selectors.snapshot_page(checkpoint.snapshot, "", 1).paginator.count == checkpoint.snapshot.items.count()


def test_a_base_model_has_no_training_data_page(as_role: AsRole, run: Run) -> None:
    base = run.checkpoints.get(number=0)
    assert as_role("viewer").get(reverse("checkpoint-data", args=[base.pk])).status_code == 404
    assert "Not trained" in page_of(as_role("viewer"), "checkpoint", base.pk)


def test_text_of_a_model_is_shown_and_never_run(as_role: AsRole, run: Run) -> None:
    checkpoint = run.checkpoints.get(number=3)
    selectors.answers_of(checkpoint).update(text="<script>alert(1)</script><img src=x onerror=alert(1)>")
    for name in ("checkpoint-answers", "checkpoint-comparisons"):
        text = page_of(as_role("viewer"), name, checkpoint.pk)
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)" in text


def test_an_odd_address_is_answered_with_a_page(as_role: AsRole, run: Run) -> None:
    client, checkpoint = as_role("viewer"), run.checkpoints.get(number=3)
    for query in ("?page=99999", "?page=x", "?page=-1", "?score=7", "?outcome=maybe", "?state=odd", "?only=x"):
        for name in ("checkpoint-answers", "checkpoint-comparisons", "checkpoint-judgements"):
            page_of(client, name, checkpoint.pk, query)
        assert client.get(reverse("checkpoints") + query).status_code == 200


# ---------------------------------------------------------------- curves and margins


def test_the_curves_of_the_training_stand_on_the_checkpoints_page_with_their_notes_and_as_csv(as_role: AsRole) -> None:
    lead = as_role("lead")
    run = Story.launch().to_the_end().run
    m2 = run.checkpoints.get(number=2)
    steps = [
        {"step": step, "total_steps": 40, "loss": 0.693, "margin": 0.0, "accuracy": 0.7, "grad_norm": 40.0}
        for step in range(1, 41)
    ]
    payload = MetricsPayload(iteration=1, stage="training", points=steps)
    RunEvent.objects.filter(run=run, kind="metrics", payload__iteration=1).delete()
    events.append(run.pk, payload)
    page = lead.get(f"/checkpoints/{m2.pk}/").content.decode()
    assert '"key": "loss-stays"' in page
    assert '"key": "gradient-limit"' in page
    assert 'data-manual="/manual/training.md"' in page
    assert '"stage": "sft"' not in page  # M1's curves are on M1's page
    answer = lead.get(f"/checkpoints/{m2.pk}/metrics.csv")
    lines = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [int(line["step"]) for line in lines] == list(range(1, 41))
    assert lines[7]["model"] == "M2"
    assert (float(lines[7]["loss"]), lines[7]["kl"]) == (0.693, "")
    whole = list(csv.DictReader(io.StringIO(lead.get(f"/runs/{run.pk}/metrics.csv").content.decode())))
    assert {line["model"] for line in whole} == {"M1", "M2", "M3"}
    assert lead.get(f"/api/v1/checkpoints/{m2.pk}/metrics/").content == answer.content
    assert len(lead.get(f"/api/v1/runs/{run.pk}/metrics/").content.splitlines()) == len(whole) + 1


def test_m0_has_no_steps_to_download(as_role: AsRole) -> None:
    lead = as_role("lead")
    m0 = Story.launch().to_the_end().run.checkpoints.get(number=0)
    assert lead.get(f"/checkpoints/{m0.pk}/metrics.csv").status_code == 404
    assert lead.get(f"/api/v1/checkpoints/{m0.pk}/metrics/").status_code == 404


def test_each_correlation_opens_the_pairs_behind_it(as_role: AsRole) -> None:
    lead = as_role("lead")
    run = Story.launch().to_the_end().run
    m2 = run.checkpoints.get(number=2)
    page = lead.get(f"/checkpoints/{m2.pk}/").content.decode()
    address = f"/checkpoints/{m2.pk}/margins/training/"
    assert f'href="{address}?order=score"' in page
    rows = lead.get(address, {"order": "low"})
    shown = [row.margin for row in rows.context["page"]]
    assert shown == sorted(shown)
    assert len(shown) == 20
    assert "log-ratio" in rows.content.decode()
    assert lead.get(f"/checkpoints/{m2.pk}/margins/nothing/").status_code == 404
    assert "No pairs here" in lead.get(f"/checkpoints/{m2.pk}/margins/held_out/").content.decode()
    told = lead.get(f"/api/v1/checkpoints/{m2.pk}/margins/").json()["results"]
    assert len(told) == m2.pair_margins.count() == m2.metrics["margins"]["training"]["pairs"]


def test_the_compare_page_sets_margins_and_training_time_side_by_side(as_role: AsRole) -> None:
    lead = as_role("lead")
    run = Story.launch().to_the_end().run
    m2, m3 = run.checkpoints.get(number=2), run.checkpoints.get(number=3)
    page = lead.get("/compare/", {"checkpoint": [m2.pk, m3.pk]}).content.decode()
    assert "Training time" in page
    assert metric("training_accuracy").title in page
    assert f'href="/checkpoints/{m3.pk}/margins/training/"' in page


def test_the_manual_is_a_page_with_a_row_for_each_note(as_role: AsRole) -> None:
    lead = as_role("lead")
    page = lead.get("/manual/training.md").content.decode()
    assert '<a id="chosen-falls"></a>' in page
    assert 'id="when-a-curve-looks-wrong"' in page
    assert lead.get("/manual/nothing.md").status_code == 404
    assert lead.get("/manual/..%2fREADME.md").status_code == 404
