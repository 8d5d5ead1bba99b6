"""REST API: actions, error format, permissions, pagination and the OpenAPI document."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from alignment_app.models import (
    Dataset,
    Export,
    Iteration,
    IterationPrompt,
    Judgement,
    OneTimePassword,
    PreferencePair,
    Prompt,
    Response,
    Run,
)
from alignment_app.services import events, uploads
from alignment_app.services.imports import import_rows
from alignment_app.services.judge_rows import imported_judge
from tests.support.launchable import small_config
from tests.support.people import person
from training.config import RunConfig
from training.evaluation.registry import metrics

pytestmark = pytest.mark.django_db


def client_of(user: User) -> APIClient:
    client = APIClient(raise_request_exception=True)
    token, _ = Token.objects.get_or_create(user=user)
    client.credentials(HTTP_AUTHORIZATION=f"Token {token.key}")
    return client


@pytest.fixture
def lead() -> APIClient:
    return client_of(person("lead"))


@pytest.fixture
def admin() -> APIClient:
    return client_of(person("admin"))


@pytest.fixture
def viewer() -> APIClient:
    return client_of(person("viewer"))


def error_of(answer: Any, status: int) -> dict[str, Any]:
    """Return the error, after a check of its format."""
    assert answer.status_code == status, answer.content[:500]
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "fields"}
    assert body["error"]["message"]
    return dict(body["error"])


def test_a_token_is_given_for_name_and_password_and_taken_back() -> None:
    person("lead")
    client = APIClient()
    error_of(client.get("/api/v1/runs/"), 401)
    error_of(client.post("/api/v1/token/", {"username": "lead", "password": "wrong"}), 401)
    key = client.post("/api/v1/token/", {"username": "lead", "password": "a long password"}).json()["token"]
    client.credentials(HTTP_AUTHORIZATION=f"Token {key}")
    assert client.get("/api/v1/runs/").status_code == 200
    assert client.delete("/api/v1/token/").status_code == 204
    error_of(client.get("/api/v1/runs/"), 401)


def test_a_one_time_password_is_no_way_in() -> None:
    user = person("lead")
    OneTimePassword.objects.create(user=user)
    answer = APIClient().post("/api/v1/token/", {"username": "lead", "password": "a long password"})
    assert "one-time password" in error_of(answer, 403)["message"]
    error_of(client_of(user).get("/api/v1/runs/"), 403)


def test_roles_hold_at_every_door(viewer: APIClient, lead: APIClient) -> None:
    annotator = client_of(person("annotator"))
    error_of(annotator.get("/api/v1/runs/"), 403)
    assert viewer.get("/api/v1/runs/").status_code == 200
    assert "lead role" in error_of(viewer.post("/api/v1/runs/", {}), 403)["message"]
    error_of(viewer.post("/api/v1/datasets/import/", {}), 403)
    # As on the pages: without permission to launch, configs cannot be validated, and without permission to export,
    # exports cannot be listed.
    error_of(viewer.post("/api/v1/runs/validate/", {}), 403)
    error_of(viewer.post("/api/v1/runs/estimate/", {}), 403)
    error_of(viewer.get("/api/v1/exports/"), 403)
    error_of(lead.post("/api/v1/exports/", {"kind": "pairs"}), 403)


@pytest.mark.parametrize("form", ["config", "yaml", "document"])
def test_a_run_is_launched_alike_from_json_and_yaml(lead: APIClient, tmp_path: Path, form: str) -> None:
    data = small_config(tmp_path)
    text = RunConfig.parse(data).to_yaml()
    if form == "document":
        answer = lead.generic("POST", "/api/v1/runs/", text, content_type="application/yaml")
    else:
        answer = lead.post("/api/v1/runs/", {form: data if form == "config" else text})
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert body["config"] == RunConfig.parse(data).to_dict()
    assert (body["status"], body["created_by"]) == ("queued", "lead")
    assert [iteration["number"] for iteration in body["iterations"]] == [0, 1]
    assert body["iterations"][1]["stages"][0]["kind"] == "prompts"


def test_overrides_change_fields_of_a_config_or_a_preset(lead: APIClient, tmp_path: Path) -> None:
    asked = {"config": small_config(tmp_path), "overrides": {"training.beta": 0.25}, "name": "Other"}
    body = lead.post("/api/v1/runs/validate/", asked).json()
    assert (body["config"]["training"]["beta"], body["config"]["name"]) == (0.25, "Other")
    assert RunConfig.from_yaml(body["yaml"]).config_hash == body["config_hash"]
    assert not Run.objects.exists()


def test_a_config_that_cannot_be_used_names_every_field(lead: APIClient, tmp_path: Path) -> None:
    data = small_config(tmp_path, seed=-1) | {"colour": "red"}
    error = error_of(lead.post("/api/v1/runs/", {"config": data}), 400)
    assert set(error["fields"]) == {"seed", "colour"}
    assert error["code"] == "invalid-config"
    assert not Run.objects.exists()


def test_runs_are_paused_resumed_cancelled_cloned_and_removed(lead: APIClient, tmp_path: Path) -> None:
    run = lead.post("/api/v1/runs/", {"config": small_config(tmp_path)}).json()
    address = f"/api/v1/runs/{run['id']}/"
    assert lead.post(f"{address}pause/").json()["status"] == "paused"
    assert lead.post(f"{address}resume/").json()["status"] == "queued"
    error_of(lead.delete(address), 409)
    assert lead.post(f"{address}cancel/").json()["status"] == "cancelled"
    assert "already" in error_of(lead.post(f"{address}cancel/"), 409)["message"]
    clone = lead.post(f"{address}clone/", {"overrides": {"seed": 7}, "name": "Twin"})
    assert clone.status_code == 201
    assert (clone.json()["cloned_from"], clone.json()["config"]["seed"]) == (run["id"], 7)
    assert lead.delete(address).status_code == 204
    error_of(lead.get(address), 404)
    error_of(lead.post(f"/api/v1/runs/{clone.json()['id']}/approve/", {"iteration": 1}), 409)
    error_of(lead.post(f"/api/v1/runs/{clone.json()['id']}/approve/", {"iteration": 9}), 404)


def test_events_come_after_a_cursor_without_gaps(viewer: APIClient) -> None:
    run = Run.objects.create(name="r", config={}, config_hash="", paradigm="self_reward")
    for number in range(5):
        events.log(run.pk, f"line {number}")
    body = viewer.get(f"/api/v1/runs/{run.pk}/events/?after=2").json()
    assert [event["seq"] for event in body["events"]] == [3, 4, 5]
    assert body["last_seq"] == 5
    error_of(viewer.get(f"/api/v1/runs/{run.pk}/events/?after=-1"), 400)


def test_every_metric_is_listed_with_its_unit_and_which_way_is_better(viewer: APIClient) -> None:
    found = {one["key"]: one for one in viewer.get("/api/v1/metrics/").json()["results"]}
    assert list(found) == [metric.key for metric in metrics()]
    assert (found["mean_score"]["unit"], found["mean_score"]["better"]) == ("0 to 5", "up")
    assert (found["win_rate"]["format"], found["win_rate"]["better"]) == ("percent", "")


def test_samples_show_each_judgement_and_the_pair(viewer: APIClient, tmp_path: Path) -> None:
    config = RunConfig.parse(small_config(tmp_path)).to_dict()
    run = Run.objects.create(name="r", config=config, config_hash="", paradigm="self_reward")
    iteration = Iteration.objects.create(run=run, number=1)
    import_rows("set", "prompts", [{"prompt": "p"}])
    prompt = Prompt.objects.get(dataset__name="set")
    IterationPrompt.objects.create(iteration=iteration, prompt=prompt, position=0, outcome="Scores differ.")
    best, worst = (
        Response.objects.create(
            prompt=prompt,
            iteration=iteration,
            source="student",
            purpose="candidate",
            index=index,
            text=f"answer {index}",
        )
        for index in range(2)
    )
    Judgement.objects.create(
        response=best, iteration=iteration, source="self", judge=imported_judge("M1"), samples=[{"raw": "Score: 4"}]
    )
    PreferencePair.objects.create(prompt=prompt, iteration=iteration, chosen=best, rejected=worst, origin="self")
    body = viewer.get(f"/api/v1/runs/{run.pk}/samples/").json()
    assert body["count"] == 1
    sample = body["results"][0]
    assert sample["responses"][0]["judgements"][0]["samples"] == [{"raw": "Score: 4"}]
    assert sample["responses"][0]["judgements"][0]["unparsed"] is True
    assert (sample["pair"]["chosen"], sample["outcome_code"]) == (best.pk, "pair")
    for address in ("iterations", "responses", "judgements", "pairs", "prompts"):
        assert len(viewer.get(f"/api/v1/{address}/?run={run.pk}").json()["results"]) >= 1, address


def test_lists_filter_search_and_page(viewer: APIClient) -> None:
    for number in range(3):
        Run.objects.create(name=f"run {number}", config={}, config_hash="", paradigm="self_reward", status="finished")
    body = viewer.get("/api/v1/runs/?page_size=2").json()
    assert (body["count"], len(body["results"])) == (3, 2)
    assert len(viewer.get(body["next"]).json()["results"]) == 1
    assert viewer.get("/api/v1/runs/?search=run 1").json()["count"] == 1
    assert viewer.get("/api/v1/runs/?status=failed").json()["count"] == 0
    error = error_of(viewer.get("/api/v1/runs/?stauts=failed"), 400)
    assert "unknown filter" in error["fields"]["stauts"][0]
    error_of(viewer.get("/api/v1/runs/?page=99"), 404)


def test_rows_are_followed_page_by_page_without_a_count(viewer: APIClient) -> None:
    import_rows("set", "prompts", [{"prompt": f"prompt {number}"} for number in range(7)])
    address: str | None = "/api/v1/prompts/?page_size=3"
    seen: list[str] = []
    while address:
        body = viewer.get(address).json()
        seen += [row["text"] for row in body["results"]]
        address = body["next"]
    assert seen == [f"prompt {number}" for number in range(7)]


def test_rows_are_imported_and_read_back(lead: APIClient) -> None:
    row = {"prompt": "p", "responses": [{"text": "a", "scores": {"x": -1}}]}
    asked = {"name": "mine", "kind": "scored", "rows": [row], "judges": {"self": "x"}}
    preview = lead.post("/api/v1/datasets/import/", asked | {"preview": True}).json()
    assert (preview["good"], preview["score_columns"]) == (1, ["x"])
    assert not Dataset.objects.exists()
    answer = lead.post("/api/v1/datasets/import/", asked)
    assert answer.status_code == 201, answer.content
    assert (answer.json()["added"], answer.json()["repeated"]) == (1, 0)
    assert lead.post("/api/v1/datasets/import/", asked).json()["added"] == 0
    dataset = answer.json()["dataset"]
    rows = lead.get(f"/api/v1/datasets/{dataset}/rows/").json()["results"]
    assert rows[0]["responses"][0]["judgements"][0]["unparsed"] is True
    assert lead.get(f"/api/v1/datasets/{dataset}/").json()["prompt_count"] == 1


def test_a_file_is_imported_by_upload_and_its_bad_lines_are_named(lead: APIClient) -> None:
    def upload(content: bytes, **more: str) -> Any:
        file = io.BytesIO(content)
        file.name = "rows.jsonl"
        return lead.post("/api/v1/datasets/import/", {"name": "mine", "file": file, **more}, format="multipart")

    content = b'{"instruction": "good"}\n{"instruction": 5}\n'
    error = error_of(upload(content, kind="prompts"), 400)
    assert error["fields"] == {"line 2": ["instruction must be text, not a number"]}
    assert not Dataset.objects.exists()
    body = upload(content, keep_good="true", mapping=json.dumps({"prompt": "instruction"})).json()
    assert (body["added"], body["bad_count"], body["kind"]) == (1, 1, "prompts")


def test_a_file_above_the_limit_is_refused_with_the_command_that_takes_it(
    lead: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "LARGEST", 10)
    for content, status, words in ((b'{"prompt": "long"}', 413, "import_data"), (b"", 400, "empty")):
        file = io.BytesIO(content)
        file.name = "rows.jsonl"
        answer = lead.post("/api/v1/datasets/import/", {"name": "mine", "file": file}, format="multipart")
        assert words in error_of(answer, status)["message"] + str(answer.json()["error"].get("fields"))
    assert not Dataset.objects.exists()


def test_a_data_set_that_a_run_needs_is_not_removed(lead: APIClient, tmp_path: Path) -> None:
    run = lead.post("/api/v1/runs/", {"config": small_config(tmp_path)}).json()
    dataset = Dataset.objects.get(name="ift")
    assert f"Run {run['id']}" in error_of(lead.delete(f"/api/v1/datasets/{dataset.pk}/"), 409)["message"]
    lead.post(f"/api/v1/runs/{run['id']}/cancel/")
    assert lead.delete(f"/api/v1/datasets/{dataset.pk}/").status_code == 204
    assert not Response.objects.exists()


def test_an_admin_exports_a_stream_and_finds_its_manifest(admin: APIClient) -> None:
    import_rows("pairs", "preferences", [{"prompt": "p", "chosen": "a", "rejected": "b"}])
    answer = admin.post("/api/v1/exports/", {"kind": "pairs"})
    assert answer.status_code == 200
    rows = [json.loads(line) for line in answer.getvalue().splitlines()]
    assert rows[0]["chosen"] == [{"role": "assistant", "content": "a"}]
    manifest = admin.get(f"/api/v1/exports/{answer['Plumbline-Export']}/manifest/").json()
    assert (manifest["rows"], manifest["exported_by"]) == (1, "admin")
    assert answer["Content-Disposition"].endswith(f'{Export.objects.get().file_name}"')


@pytest.mark.django_db(transaction=True)
async def test_under_an_asynchronous_server_an_export_is_sent_in_pieces() -> None:
    from asgiref.sync import sync_to_async

    from alignment_app.downloads import Download
    from alignment_app.selectors.exports import Selection
    from alignment_app.services.exports import export

    rows = [{"prompt": f"p{number}"} for number in range(3)]
    await sync_to_async(import_rows)("set", "demonstrations", [{**row, "response": "r"} for row in rows])
    answer = Download(await sync_to_async(export)(Selection("responses")))
    content = b"".join([piece async for piece in answer])
    assert len(content.splitlines()) == 3
    assert (await Export.objects.aget()).row_count == 3


def test_presets_checkpoints_evaluations_and_snapshots_are_listed(viewer: APIClient) -> None:
    for address in ("presets", "checkpoints", "evaluations", "snapshots"):
        assert viewer.get(f"/api/v1/{address}/").status_code == 200
    names = [preset["name"] for preset in viewer.get("/api/v1/presets/").json()["results"]]
    assert viewer.get(f"/api/v1/presets/{names[0]}/").json()["config"]["student"]["model"]


def test_the_schema_describes_every_config_field_and_every_filter(viewer: APIClient) -> None:
    answer = viewer.get("/api/v1/schema/", HTTP_ACCEPT="application/vnd.oai.openapi+json")
    schema = json.loads(answer.content)
    assert "beta" in schema["components"]["schemas"]["PreferenceConfig"]["properties"]
    asked = schema["paths"]["/api/v1/judgements/"]["get"]["parameters"]
    assert {"run", "iteration", "unparsed", "cursor"} <= {parameter["name"] for parameter in asked}


def test_an_unknown_address_answers_in_the_api_s_own_shape(lead: APIClient) -> None:
    error_of(lead.get("/api/v1/nothing/here/"), 404)
    error_of(lead.put("/api/v1/runs/", {}), 405)


def test_the_docs_page_asks_people_to_log_in() -> None:
    answer = APIClient().get("/api/v1/docs/")
    assert answer.status_code == 302
    assert "login" in answer["Location"]
