"""EFT end to end: M0 fine-tuned on IFT, its judgements of ranked responses, the rows kept, and M1 trained on both.

The little student generates noise, so its judgements come from a local server with the OpenAI API: a judge that is
right about some prompts, wrong about others, and sometimes gives no readable reply.
"""

from __future__ import annotations

import html
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from alignment_app.models import (
    Dataset,
    IterationPrompt,
    Judgement,
    Prompt,
    Response,
    Run,
    RunEvent,
    Stage,
    StageAttempt,
)
from alignment_app.selectors import rankings
from alignment_app.services import eft_rows, progress, runs, stages
from alignment_app.services.imports import import_rows
from tests.support.datasets import make_datasets
from tests.support.runs import drive, drive_until_killed, kill_9
from training import judges
from training.config import ConfigError, RunConfig
from training.domain.judging import parse_score
from training.domain.rows import PromptOutcome
from training.jobs.health import JudgementProgress

pytestmark = pytest.mark.django_db(transaction=True)

BEST, WORSE, WORST = "quite right", "half right", "not right"
SCORES = {BEST: 4, WORSE: 3, WORST: 1}
FOES = ("foe 1", "foe 2")


def judgement(model: str, instruction: str, response: str, seed: int) -> str:
    """Judge most prompts correctly, foes in reverse order until trained to judge, and ghosts without a score at every
    second seed.
    """
    score = SCORES.get(response, 2)
    if "foe" in instruction and "/IFT" in model:
        score = 5 - score
    if "ghost" in instruction and seed % 2:
        return "I would rather not say."
    return f"It is {response}.\nScore: {score}"


@pytest.fixture
def judge_server() -> Iterator[str]:
    """The address of an OpenAI-compatible server that answers with :func:`judgement`."""
    form = judges.get("additive_5")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked = form.extract_texts(body["messages"][-1]["content"])
            text = "An answer."
            if asked is not None:
                text = judgement(body["model"], asked["INSTRUCTION_HERE"], asked["RESPONSE_HERE"], body["seed"])
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            usage = {"prompt_tokens": 1, "completion_tokens": 7, "total_tokens": 8}
            reply = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
            content = json.dumps(reply | {"choices": [choice], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


@pytest.fixture
def config(little_student: Path, judge_server: str) -> dict[str, Any]:
    """A run to M1 with EFT, and its data sets; one ranked prompt is also in the IFT rows."""
    make_datasets(seed=6)
    who = [*(f"friend {n}" for n in range(12)), *FOES, "ghost 1"]
    ranked = [
        {"prompt": f"What says {name}?", "responses": [
            {"text": WORSE, "rank": 2}, {"text": BEST, "rank": 1}, {"text": WORST, "rank": 3}]}
        for name in who
    ]  # fmt: skip
    ranked.append({"prompt": "say 3", "responses": [{"text": BEST, "rank": 1}, {"text": WORST, "rank": 2}]})
    ranked.append({"prompt": "Nobody ranked this.", "responses": [{"text": BEST}, {"text": WORST}]})
    import_rows("ranked", "scored", ranked)
    return {
        "name": "with EFT",
        "paradigm": "self_reward",
        "iterations": 0,
        "seed": 5,
        "student": {"model": str(little_student), "max_length": 2048},
        "engine": {"kind": "openai_compatible", "base_url": judge_server},
        "sft": {"datasets": ["seed"], "batch_size": 4, "micro_batch_size": 4},
        "eft": {"enabled": True, "dataset": "ranked", "k": 2},
        "judging": {"max_new_tokens": 32},
        "evaluation": {"enabled": False},
    }


def rows_of(run: Run, part: Any) -> list[Response]:
    name = eft_rows.name_of(run.pk, part)
    return list(Response.objects.filter(prompt__dataset__name=name).select_related("prompt").order_by("pk"))


def test_rows_are_built_from_rankings_and_m1_is_trained_on_them(config: dict[str, Any], client: Client) -> None:
    run = drive(runs.launch(RunConfig.parse(config)))
    assert run.status == Run.Status.FINISHED, run.status_reason
    kinds = run.iterations.get().stages.exclude(status="skipped").order_by("position").values_list("kind", flat=True)
    assert list(kinds) == ["ift", "ranked_prompts", "ranked_judgements", "eft", "dataset", "sft"]

    chosen = Stage.objects.get(kind="ranked_prompts").result
    assert (chosen["ranked"], chosen["overlapping"]) == (16, 1)  # "say 3" is an IFT prompt; one has no ranks
    numbers = Stage.objects.get(kind="eft").result["selection"]
    assert numbers["asked"] == 15 * 3 * 2
    silent = sum(sample["score"] is None for row in Judgement.objects.all() for sample in row.samples)
    assert silent > 0
    assert numbers["parsed"] == numbers["asked"] - silent
    assert numbers["prompts"] == 15
    assert 12 <= numbers["agreeing_prompts"] <= 13
    train, held_out = rows_of(run, "train"), rows_of(run, "eval")
    assert (numbers["train"], numbers["eval"]) == (len(train), len(held_out))
    assert numbers["train"] + numbers["thinned"] + numbers["eval"] == numbers["agreeing"]

    form = judges.get("additive_5")
    for row in (*train, *held_out):
        asked = form.extract_texts(row.prompt.messages[0]["content"])
        assert asked is not None
        assert "foe" not in asked["INSTRUCTION_HERE"]
        assert parse_score(row.text) == SCORES[asked["RESPONSE_HERE"]] == row.prompt.meta["score"]
    of = [{str(form.extract_texts(row.prompt.text)["INSTRUCTION_HERE"]) for row in part} for part in (train, held_out)]  # type: ignore[index]
    assert of[0]
    assert of[1]
    assert not of[0] & of[1]

    snapshot = run.iterations.get().snapshot
    assert snapshot.row_count == 6 + len(train)
    m1 = run.checkpoints.get(number=1)
    assert m1.snapshot == snapshot
    assert m1.parent.name == "M0"
    outcomes = dict(IterationPrompt.objects.values_list("prompt__text", "outcome_code"))
    assert outcomes["What says foe 1?"] == PromptOutcome.RANKING_DIFFERS
    assert sum(code == PromptOutcome.RANKING_TRAINS for code in outcomes.values()) == len(of[0])

    client.force_login(User.objects.create_superuser("ann"))
    page = client.get(reverse("run", args=[run.pk])).content.decode()
    assert "Agreeing with human rankings" in page
    assert f"{len(train)} rows" in page
    for stage in ("ranked_judgements", "eft", "ranked_prompts"):
        samples = client.get(reverse("run-samples", args=[run.pk]) + f"?iteration=0&stage={stage}").content.decode()
        assert "What says" in samples
    assert "The ranking differs" in samples or "Agrees with people" in samples


def test_a_run_stopped_while_judging_ends_with_the_rows_of_an_undisturbed_one(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    undisturbed = drive(runs.launch(RunConfig.parse(config)))
    wanted = [(row.prompt.text, row.text) for row in rows_of(undisturbed, "train")]
    monkeypatch.setattr(progress, "SAVE_SECONDS", 0.0)

    def pause_in_the_middle(self: progress.Progress) -> None:
        if self.attempt.stage.kind == "ranked_judgements" and 10 <= self.done < 30:
            self.heartbeat.command = "pause"

    monkeypatch.setattr(progress.Progress, "after_save", pause_in_the_middle)
    monkeypatch.setattr("training.jobs.health.JudgementProgress.after_save", pause_in_the_middle)
    disturbed = drive(runs.launch(RunConfig.parse(config)))
    assert disturbed.status == Run.Status.PAUSED
    half = Judgement.objects.filter(iteration__run=disturbed).count()
    assert 0 < half < 45
    monkeypatch.undo()
    runs.resume(disturbed)
    drive(disturbed)
    assert disturbed.status == Run.Status.FINISHED, disturbed.status_reason
    assert Judgement.objects.filter(iteration__run=disturbed).count() == 45
    assert [(row.prompt.text, row.text) for row in rows_of(disturbed, "train")] == wanted

    client.force_login(User.objects.create_superuser("ann"))
    samples = client.get(
        reverse("run-samples", args=[disturbed.pk]) + "?iteration=0&stage=ranked_judgements"
    ).content.decode()
    assert f"IFT of run {disturbed.pk}" in samples
    assert f"IFT of run {undisturbed.pk}" not in samples  # although both judged the same responses


def kill_before_finishing(kind: str) -> Callable[..., Any]:
    """Kill the process at the end of a stage, when its rows are saved but its end is not."""
    finish = stages.finish

    def hook(attempt: StageAttempt, result: Any) -> None:
        if attempt.stage.kind == kind:
            kill_9()
        finish(attempt, result)

    return hook


def test_a_run_killed_in_every_stage_of_eft_ends_with_the_rows_of_an_undisturbed_one(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows_and_models(run: Run) -> tuple[Any, ...]:
        parts = [[(row.prompt.text, row.text) for row in rows_of(run, part)] for part in ("train", "eval")]
        outcomes = IterationPrompt.objects.filter(iteration__run=run).values_list("position", "prompt__text", "outcome")
        m1 = run.checkpoints.get(number=1)
        numbers = run.iterations.get().stages.get(kind="eft").result
        weights = [file["sha256"] for file in m1.files if file["name"] == "model.safetensors"]
        return parts, sorted(outcomes), numbers, m1.snapshot.content_hash, weights

    wanted = rows_and_models(drive(runs.launch(RunConfig.parse(config))))
    assert all(wanted[0])
    run = runs.launch(RunConfig.parse(config))
    save, fill = JudgementProgress.after_save, eft_rows._fill

    def kill_in_the_middle(self: JudgementProgress) -> None:
        save(self)
        if self.done >= 10:
            kill_9()

    def kill_between_the_parts(dataset: Dataset, found: Any) -> None:
        fill(dataset, found)
        kill_9()

    hooks = [
        (stages, "finish", kill_before_finishing("ift")),
        (JudgementProgress, "after_save", kill_in_the_middle),
        (stages, "finish", kill_before_finishing("ranked_judgements")),
        (eft_rows, "_fill", kill_between_the_parts),
        (stages, "finish", kill_before_finishing("eft")),
    ]
    for place, name, hook in hooks:
        with monkeypatch.context() as disturbed:
            disturbed.setattr(progress, "SAVE_SECONDS", 0.0)
            disturbed.setattr(place, name, hook)
            drive_until_killed(run)
            assert run.status == Run.Status.QUEUED
    drive(run)
    assert run.status == Run.Status.FINISHED, run.status_reason
    attempts = {stage.kind: stage.attempts.count() for stage in run.iterations.get().stages.all()}
    assert (attempts["ift"], attempts["ranked_judgements"], attempts["eft"]) == (2, 3, 3)
    assert rows_and_models(run) == wanted


def test_ranking_agreement_is_measured_before_and_after_eft(config: dict[str, Any], client: Client) -> None:
    # With this seed four friends and a foe are held out.
    evaluation = {"enabled": True, "dataset": "held out", "count": 2, "max_new_tokens": 8, "self_judge_prompts": 5}
    run = drive(runs.launch(RunConfig.parse(config | {"seed": 2, "evaluation": evaluation})))
    assert run.status == Run.Status.FINISHED, run.status_reason
    start, m1 = run.iterations.get(), run.checkpoints.get(number=1)
    held_out = {row.response.prompt.text for row in rankings.judged_by(m1).select_related("response__prompt")}
    form = judges.get("additive_5")
    taught = {str(form.extract_texts(row.prompt.text)["INSTRUCTION_HERE"]) for row in rows_of(run, "train")}  # type: ignore[index]
    assert held_out
    assert not held_out & taught
    wrong = sum(f"What says {foe}?" in held_out for foe in FOES)
    assert (wrong, len(held_out)) == (1, 5)  # the two judges differ

    before, after = start.stages.get(kind="eft").result["ranking"], m1.evaluation.metrics
    assert before["prompts"] == after["ranking_prompts"] == len(held_out)
    assert before["pairs"] == 3 * len(held_out)
    assert before["accuracy"] == before["exact"] == pytest.approx(1 - wrong / len(held_out))
    assert before["spearman"] == before["kendall"] == pytest.approx(1 - 2 * wrong / len(held_out))
    assert after["ranking_accuracy"] == after["ranking_exact"] == 1
    assert after["ranking_gain"] == pytest.approx(wrong / len(held_out))
    assert (after["ranking_five_best"], after["ranking_fives"]) == (None, 0)  # no response got a 5
    assert rankings.judged_by(m1).count() == 3 * len(held_out)
    assert {row.sample_count for row in rankings.judged_by(m1)} == {2}  # as many as before: eft.k

    client.force_login(User.objects.create_superuser("ann"))
    page = client.get(reverse("run", args=[run.pk])).content.decode()
    assert 'id="eft-judges"' in page
    assert "M1 against IFT alone: +" in page
    detail = client.get(reverse("checkpoint", args=[m1.pk])).context["detail"]
    assert {"ranking_accuracy", "ranking_exact"} <= {figure.metric.key for figure in detail.figures}
    rows = client.get(reverse("checkpoint-judgements", args=[m1.pk]) + "?on=rankings").content.decode()
    rows = " ".join(rows.split())
    assert rows.count("3 of 3 pairs in human order") == len(held_out)
    assert "human rank 1<" in rows
    ranked = Dataset.objects.get(name="ranked")
    data = html.unescape(client.get(reverse("dataset", args=[ranked.pk])).content.decode())
    assert "human rank 1<" in data
    assert f"of run {run.pk}" not in data  # a run's judgements are shown with the run
    own = client.get(reverse("checkpoint-judgements", args=[m1.pk])).content.decode()
    assert "?on=rankings" in own


def test_a_limit_on_data_sets_keeps_all_judging_rows_and_holding_none_out_measures_none(
    config: dict[str, Any],
) -> None:
    evaluation = {"enabled": True, "dataset": "held out", "count": 2, "max_new_tokens": 8}
    config["eft"] |= {"eval_share": 0}
    config["sft"] |= {"limit": 2}
    run = drive(runs.launch(RunConfig.parse(config | {"evaluation": evaluation})))
    assert run.status == Run.Status.FINISHED, run.status_reason
    assert run.iterations.get().snapshot.row_count == 2 + len(rows_of(run, "train"))
    assert run.iterations.get().stages.get(kind="eft").result["ranking"] is None
    assert not any(name.startswith("ranking") for name in run.checkpoints.get(number=1).evaluation.metrics)


def test_a_run_without_agreeing_judgements_fails_with_the_counts(config: dict[str, Any]) -> None:
    Prompt.objects.filter(dataset__name="ranked").exclude(text__contains="foe").delete()
    run = drive(runs.launch(RunConfig.parse(config)))
    assert run.status == Run.Status.FAILED
    assert "the ranking of 0 of 2 prompts agrees with people's" in run.status_reason
    assert Stage.objects.get(kind="eft").progress["selection"]["parsed"] == 12


def test_a_data_set_without_ranks_fails_with_the_remedy(config: dict[str, Any]) -> None:
    Prompt.objects.filter(dataset__name="ranked", meta__has_key="ranks").delete()
    run = drive(runs.launch(RunConfig.parse(config)))
    assert run.status == Run.Status.FAILED
    assert "no prompt with ranked responses" in run.status_reason
    assert RunEvent.objects.filter(run=run, kind="log", payload__level="error").exists()


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"eft": {"enabled": True}}, "eft.dataset", "ranked responses"),
        ({"sft": {"enabled": False}}, "eft.enabled", "needs supervised fine-tuning"),
        ({"eft": {"enabled": True, "dataset": "nowhere"}}, "eft.dataset", "no data set named"),
        ({"eft": {"enabled": True, "dataset": "train"}}, "eft.dataset", "does not hold prompt, responses and scores"),
    ],
)
def test_an_invalid_config_is_refused(
    config: dict[str, Any], changes: dict[str, Any], field: str, sentence: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        runs.launch(RunConfig.parse(config | changes))
    assert sentence in dict(raised.value.problems)[field]


def test_removing_a_run_removes_its_rows(config: dict[str, Any]) -> None:
    run = drive(runs.launch(RunConfig.parse(config)))
    runs.remove(run)
    assert not Dataset.objects.filter(name__startswith="run ").exists()
    assert not Judgement.objects.exists()
    assert Prompt.objects.filter(dataset__name="ranked").count() == 17
