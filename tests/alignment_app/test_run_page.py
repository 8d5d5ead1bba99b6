"""The run page: content and actions."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from alignment_app.models import IterationPrompt, Judgement, Prompt, Response, Run, Stage
from alignment_app.models.payloads import MetricsPayload
from alignment_app.selectors import curves, samples
from alignment_app.services import events
from tests.support.people import person
from tests.support.stories import Story
from training.config import RunConfig
from training.domain.training_metrics import CURVES
from training.evaluation import registry

pytestmark = pytest.mark.django_db


@pytest.fixture
def lead(client: Client) -> Client:
    client.force_login(person())
    return client


def page(client: Client, run: Run) -> str:
    response = client.get(reverse("run", args=[run.pk]))
    assert response.status_code == 200
    return str(response.content.decode())


def part(client: Client, run: Run, name: str) -> str:
    return str(client.get(reverse("run-part", args=[run.pk, name])).content.decode())


def rows(client: Client, run: Run, **query: Any) -> str:
    """The samples page."""
    response = client.get(reverse("run-samples", args=[run.pk]), query)
    assert response.status_code == 200
    return str(response.content.decode())


# ---------------------------------------------------------------- what it shows


def test_the_page_of_a_running_run_shows_the_loop_with_counts_speed_and_time_left(lead: Client) -> None:
    run = Story.launch(name="plain one").until(2, "judgements", 0.5).run
    text = page(lead, run)
    assert "Running: judgements, iteration 2 of 2" in text
    assert "80 of 160" in text
    assert "2.3/s" in text
    assert "34 rows" in text
    assert "M2 against M1" in text
    assert "45\u00a0% win" in text
    assert "Sr-DPO with λ\u00a00.3, β\u00a00.1" in text


def test_a_generating_stage_shows_missing_rows_requests_and_tokens_per_second(lead: Client) -> None:
    run = Story.launch(name="plain one").until(2, "judgements", 0.5).run
    stage = Stage.objects.get(iteration__run=run, status=Stage.Status.RUNNING)
    assert "in flight" not in page(lead, run)
    stage.progress = {"tokens_per_second": 1432.6, "in_flight": 64}
    stage.save(update_fields=["progress"])
    text = page(lead, run)
    assert "80 to go, 64 in flight, 1,433 tokens/s" in text.replace("\N{NO-BREAK SPACE}", " ")


def test_an_overlapping_stage_shows_its_progress(lead: Client) -> None:
    run = Story.launch(name="ahead").until(1, "responses", 0.5).run
    ahead = Stage.objects.get(iteration__run=run, kind="judgements", iteration__number=1)
    ahead.done, ahead.total, ahead.unit, ahead.rate = 31, 159, "judgements", 4.0
    ahead.progress = {"tokens_per_second": 66.0, "in_flight": 16}
    ahead.save()
    text = page(lead, run).replace("\N{NO-BREAK SPACE}", " ")
    assert "31 of 159" in text
    assert "in parallel, 4.0/s" in text
    assert "128 to go, 16 in flight, 66 tokens/s" in text
    # It rests: how far it came stays.
    Stage.objects.filter(pk=ahead.pk).update(rate=None)
    text = page(lead, run)
    assert "31 of 159" in text
    assert "in parallel" not in text
    assert "in\N{NO-BREAK SPACE}flight" not in text


def test_a_reload_is_drawn_up_to_the_newest_event(lead: Client) -> None:
    run = Story.launch().until(1, "training", 0.5).run
    first = page(lead, run)
    assert f'data-seq="{run.last_seq}"' in first
    seq = events.log(run.pk, "The teacher answered 429 twice; waited 4 s.", "warning")
    again = page(lead, run)
    assert f'data-seq="{seq}"' in again
    assert "429 twice" in again


def test_the_curves_are_in_the_page_and_as_a_part(lead: Client) -> None:
    run = Story.launch().until(1, "training").run
    found = re.search(r'<script id="curve-data" type="application/json">(.*?)</script>', page(lead, run), re.S)
    assert found
    drawn = json.loads(found.group(1))
    assert [(curve["label"], curve["stage"]) for curve in drawn] == [("M1", "sft"), ("M2", "training")]
    assert len(drawn[1]["lines"]["margin"]) == 60
    assert json.loads(part(lead, run, "curves"))["curves"] == drawn


def test_the_charts_of_the_page_have_the_words_and_formats_of_the_metric_registry(lead: Client) -> None:
    run = Story.launch().until(0, "sft").run
    found = re.search(r'<script id="chart-data" type="application/json">(.*?)</script>', page(lead, run), re.S)
    assert found
    charts = json.loads(found.group(1))
    keys = [key for chart in charts for key, _, _ in chart["lines"]]
    assert sorted(keys) == sorted(metric.key for metric in CURVES)  # every curve once
    for chart in charts:
        metrics = [registry.metric(key) for key, _, _ in chart["lines"]]
        assert {metric.unit for metric in metrics} == {chart["unit"]}
        assert {metric.format for metric in metrics} == {chart["format"]}
        assert [label for _, label, _ in chart["lines"]] == [metric.name for metric in metrics]


def test_the_latest_sample_shows_candidates_scores_raw_replies_and_the_pair(lead: Client) -> None:
    run = Story.launch().until(1, "pairs").run
    sample = samples.latest(run)
    assert sample is not None
    text = part(lead, run, "sample")
    assert sample.prompt.text in text.replace("&#x27;", "'")
    assert text.count("▲") == 1
    assert text.count("▼") == 1
    assert "Score: 5" in text
    assert "Highest score 4.67 against lowest 0.5." in text


def test_a_prompt_without_a_pair_shows_the_reason(lead: Client) -> None:
    run = Story.launch().until(1, "pairs").run
    text = rows(lead, run, iteration=1, stage="pairs", show="none")
    assert "No pair." in text
    assert "All candidates have the same score." in text
    assert "▲" not in text


def test_an_unparsed_judgement_is_shown_as_a_word_and_never_as_a_number(lead: Client) -> None:
    run = Story.launch().until(1, "judgements").run
    judgement = Judgement.objects.filter(score__isnull=True).first()
    assert judgement is not None
    text = rows(lead, run, iteration=1, stage="judgements", show="unparsed")
    assert "unparsed" in text
    assert "I cannot say." in text


def test_model_text_is_escaped(lead: Client) -> None:
    run = Story.launch().until(1, "pairs").run
    Response.objects.update(text="<img src=x onerror=alert(1)>")
    text = page(lead, run)
    assert "<img" not in text
    assert "&lt;img src=x" in text


def test_a_failed_run_shows_its_cause_and_the_next_step(lead: Client) -> None:
    story = Story.launch().until(1, "judgements", 0.2)
    run = story.break_off("failed", "Too few replies hold a score.", "Traceback X").run
    text = page(lead, run)
    assert "Judgements of M2 failed" in text
    assert "Too few replies hold a score." in text
    assert "Clone with changes" in text
    assert "Traceback X" in text
    assert 'role="alert"' in text


def test_a_crashed_run_offers_resume(lead: Client) -> None:
    run = Story.launch().until(1, "training", 0.2).break_off("crashed", "The worker died.").run
    text = page(lead, run)
    assert "Training of M2 crashed" in text
    assert "Resume continues" in text
    assert 'data-key="r"' in text


def test_a_run_without_fine_tuning_shows_m1_as_m0(lead: Client) -> None:
    run = Story.launch(sft={"enabled": False}, evaluation={"enabled": False}).run
    assert "M1 = M0" in page(lead, run)


@pytest.mark.parametrize("paradigm", ["self_reward", "teacher_reward", "teacher_demonstration"])
def test_every_part_of_a_finished_run_is_drawn(lead: Client, paradigm: str) -> None:
    run = Story.launch(paradigm=paradigm).to_the_end().gauge().run
    assert "Finished" in page(lead, run)
    for name in ("head", "loop", "sample", "figures"):
        assert f'id="{name}"' in part(lead, run, name)
    assert lead.get(reverse("run-part", args=[run.pk, "nonsense"])).status_code == 404


@pytest.mark.parametrize("iteration", [0, 1, 2])
def test_every_stage_with_samples_has_a_page(lead: Client, iteration: int) -> None:
    run = Story.launch().to_the_end().run
    for stage in Stage.objects.filter(iteration__run=run, iteration__number=iteration):
        text = rows(lead, run, iteration=iteration, stage=stage.kind)
        if stage.kind not in ("sft", "training"):
            assert "No rows found" not in text, stage.kind


def test_samples_are_paged_and_searched(lead: Client) -> None:
    run = Story.launch().until(1, "pairs").run
    assert "1 to 10 of 40" in rows(lead, run, iteration=1, stage="responses")
    assert "Page 4 of 4" in rows(lead, run, iteration=1, stage="responses", page=99)
    assert "No rows found" in rows(lead, run, iteration=1, q="no such words")


def test_comparisons_can_be_narrowed_to_losses(lead: Client) -> None:
    run = Story.launch().to_the_end().run
    text = rows(lead, run, iteration=1, stage="evaluation", show="lose")
    assert "4 prompts" in text
    assert "Lose for M2." in text


def test_a_run_that_does_not_exist_is_not_found(lead: Client) -> None:
    assert lead.get(reverse("run", args=[999])).status_code == 404
    assert lead.get(reverse("run-part", args=[999, "curves"])).status_code == 404


def test_the_config_comes_back_as_the_same_config(lead: Client) -> None:
    run = Story.launch().run
    response = lead.get(reverse("run-config", args=[run.pk]))
    assert RunConfig.from_yaml(response.content.decode()) == RunConfig.parse(run.config)


def test_the_number_of_queries_does_not_grow_with_the_rows(lead: Client, django_assert_max_num_queries: Any) -> None:
    run = Story.launch().to_the_end().run
    with django_assert_max_num_queries(32):
        page(lead, run)


# ---------------------------------------------------------------- what may be asked


def test_pause_resume_and_cancel_go_through_the_page(lead: Client) -> None:
    run = Story.launch().state(Run.Status.QUEUED, "Waiting for a worker.").run
    for verb, status in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled"), ("resume", "queued")):
        assert lead.post(reverse("run-act", args=[run.pk, verb])).status_code == 302
        run.refresh_from_db()
        assert run.status == status


def test_htmx_gets_the_head_in_its_new_state(lead: Client) -> None:
    run = Story.launch().state(Run.Status.QUEUED, "Waiting for a worker.").run
    text = lead.post(reverse("run-act", args=[run.pk, "pause"]), headers={"HX-Request": "true"}).content.decode()
    assert 'data-status="paused"' in text
    assert "Resume" in text


def test_a_refused_action_is_shown_on_the_page(lead: Client) -> None:
    run = Story.launch().to_the_end().run
    text = lead.post(reverse("run-act", args=[run.pk, "pause"]), headers={"HX-Request": "true"}).content.decode()
    assert "Only a queued or running run can be paused" in text


def test_a_finished_run_can_be_removed_and_an_active_one_cannot(lead: Client) -> None:
    run = Story.launch().until(1, "responses", 0.5).run
    lead.post(reverse("run-act", args=[run.pk, "remove"]))
    assert Run.objects.filter(pk=run.pk).exists()
    done = Story.launch().to_the_end().run
    assert lead.post(reverse("run-act", args=[done.pk, "remove"])).headers["Location"] == reverse("runs")
    assert not Run.objects.filter(pk=done.pk).exists()


def test_reviewed_pairs_are_let_through(lead: Client) -> None:
    run = Story.launch(review={"enabled": True}).until(1, "pairs").run
    Stage.objects.filter(iteration__run=run, iteration__number=1, kind="review").update(status="waiting", total=34)
    Run.objects.filter(pk=run.pk).update(status=Run.Status.WAITING, status_reason="34 pairs wait for people.")
    assert "Approve" in page(lead, run)
    lead.post(reverse("run-act", args=[run.pk, "approve"]), {"iteration": 1})
    assert Stage.objects.get(iteration__run=run, iteration__number=1, kind="review").status == "done"


def test_an_unknown_verb_is_not_found_and_a_get_changes_nothing(lead: Client) -> None:
    run = Story.launch().run
    assert lead.post(reverse("run-act", args=[run.pk, "explode"])).status_code == 404
    assert lead.get(reverse("run-act", args=[run.pk, "cancel"])).status_code == 405


def test_a_viewer_reads_and_may_ask_for_nothing(client: Client) -> None:
    run = Story.launch().until(1, "responses", 0.5).run
    client.force_login(person("viewer"))
    text = page(client, run)
    assert "Pause" not in text
    assert client.post(reverse("run-act", args=[run.pk, "cancel"])).status_code == 403
    run.refresh_from_db()
    assert run.cancel_requested_at is None


def test_an_annotator_and_a_stranger_see_no_run(client: Client) -> None:
    run = Story.launch().run
    address = reverse("run", args=[run.pk])
    assert client.get(address).status_code == 302
    client.force_login(person("annotator"))
    assert client.get(address).status_code == 403


# ---------------------------------------------------------------- curves


def test_a_long_line_is_thinned_out_and_keeps_its_ends_and_its_peak() -> None:
    line = [(float(step), 100.0 if step == 4321 else (step % 7) / 10) for step in range(10_000)]
    thin = curves.thin_out(line)
    assert len(thin) == 500
    assert (thin[0], thin[-1]) == (line[0], line[-1])
    assert (4321.0, 100.0) in thin
    assert [x for x, _ in thin] == sorted(x for x, _ in thin)


def test_a_short_line_is_left_as_it_is() -> None:
    line = [(1.0, 2.0), (2.0, 3.0)]
    assert curves.thin_out(line) == line


def test_a_step_trained_again_counts_once_as_it_was_the_last_time() -> None:
    run = Story.launch().run
    for value in (0.9, 0.5):
        points = [{"step": 3, "loss": value}, {"step": 4, "loss": value}]
        events.append(run.pk, MetricsPayload(iteration=0, stage="sft", points=points))
    assert curves.curves(run)[0].lines["loss"] == [(3, 0.5), (4, 0.5)]


# ---------------------------------------------------------------- rows that a data set brought along


def test_responses_of_a_data_set_are_shown_where_the_run_takes_them(lead: Client) -> None:
    run = Story.launch().until(1, "prompts").run
    prompts = list(Prompt.objects.filter(uses__iteration__run=run))
    for prompt in prompts:
        Response.objects.create(prompt=prompt, source="imported", purpose="candidate", index=0, text="Brought along.")
    assert "Brought along." not in rows(lead, run, iteration=1, stage="prompts")
    run.config["candidates"]["from_dataset"] = "story-prompts"
    run.save()
    assert "Brought along." in rows(lead, run, iteration=1, stage="prompts")


def test_ready_pairs_without_prompts_of_the_iteration_are_shown(lead: Client) -> None:
    run = Story.launch().until(1, "pairs").run
    IterationPrompt.objects.filter(iteration__run=run).delete()
    assert "34 prompts" in rows(lead, run, iteration=1, stage="pairs")
    assert "Highest score 4.67" in rows(lead, run, iteration=1, stage="pairs")


def test_a_long_name_and_long_words_are_no_error(lead: Client) -> None:
    run = Story.launch(name="w" * 120).until(1, "pairs").run
    Response.objects.filter(iteration__run=run).update(text="x" * 20_000)
    assert "w" * 120 in page(lead, run)


def test_invalid_numbers_are_not_found_or_ignored(lead: Client) -> None:
    run = Story.launch().until(1, "responses", 0.5).run
    for wanted in ("", "x", "²", "9"):
        assert lead.post(reverse("run-act", args=[run.pk, "approve"]), {"iteration": wanted}).status_code == 404
    assert lead.get(reverse("run-samples", args=[run.pk]), {"iteration": "²"}).status_code == 200
    assert lead.get(reverse("launch"), {"clone": "²"}).status_code == 404
    assert lead.get(reverse("runs"), {"q": "²"}).status_code == 200
