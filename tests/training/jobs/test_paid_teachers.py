"""Whole runs with a remote teacher that fails, costs money, and must receive no unnecessary data."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core import serializers
from django.test import Client
from django.urls import reverse

from alignment_app import logs
from alignment_app.models import (
    Dataset,
    Judgement,
    PreferencePair,
    ProviderKey,
    Run,
    Stage,
    StageAttempt,
    TeacherCall,
)
from alignment_app.pages.spending import costs
from alignment_app.services import keys, people, runs, spending, stages
from alignment_app.services.errors import Refused
from tests.support.datasets import make_datasets
from tests.support.paid_teacher import Teacher, paid_config, rows_of
from tests.support.providers import GEMINI_TROUBLES, Provider, Reply, as_json, candidate, chat
from tests.support.runs import drive
from training.config import ConfigError, RunConfig
from training.domain.spending import Price, Usage

pytestmark = pytest.mark.django_db(transaction=True)

PLAIN_KEY = "planted-key-5f1c9b7e"
PROMPTS = 12


@pytest.fixture
def teacher() -> Iterator[Teacher]:
    made = Teacher()
    yield made
    made.server.close()


@pytest.fixture
def admin(django_user_model: Any) -> Any:
    return django_user_model.objects.create_superuser("ada", password="x")


@pytest.fixture
def launch(little_student: Path, db: None, teacher: Teacher, admin: Any) -> Callable[..., Run]:
    """Launch a small run with Gemini as the teacher, and work on it until no job is queued."""
    make_datasets(train=PROMPTS)
    keys.store("proof", "gemini", teacher.server.address, PLAIN_KEY, by=admin)

    def go(*, paid: dict[str, Any] | None = None, **changes: Any) -> Run:
        run = runs.launch(paid_config(little_student, teacher.server.address, count=PROMPTS, paid=paid, **changes))
        return drive(run)

    return go


@pytest.mark.parametrize("paradigm", ["teacher_reward", "teacher_demonstration"])
def test_a_teacher_with_failing_answers_gives_the_same_rows(
    launch: Callable[..., Run], teacher: Teacher, paradigm: str
) -> None:
    # Enough requests for every kind of failure.
    size = {} if paradigm == "teacher_reward" else {"prompts": {"dataset": "many", "count": 180}}
    if size:
        dataset = Dataset.objects.create(name="many", kind=Dataset.Kind.PROMPTS)
        from tests.support.datasets import add_prompt

        for position in range(180):
            add_prompt(dataset, position, f"Count to {position}.")
        size["candidates"] = {"n": 1, "max_new_tokens": 6, "temperature": 1.0}
    calm = launch(paradigm=paradigm, **size)
    assert calm.status == Run.Status.FINISHED, calm.status_reason
    assert teacher.failing == {}
    teacher.server.seen.clear()
    teacher.troubled = True
    disturbed = launch(paradigm=paradigm, paid={"timeout": 2}, **size)
    assert disturbed.status == Run.Status.FINISHED, disturbed.status_reason
    assert len(teacher.failing) >= len(GEMINI_TROUBLES)  # each kind at least once
    assert rows_of(disturbed) == rows_of(calm)
    wanted = PROMPTS * 4 * 4 if paradigm == "teacher_reward" else 180
    calls = TeacherCall.objects.filter(run=calm)
    assert set(calls.values_list("outcome", "completion_tokens")) == {
        ("answered", 13 if paradigm == "teacher_reward" else 9)
    }
    assert calls.count() == wanted
    lost = TeacherCall.objects.filter(run=disturbed, outcome="lost")
    assert lost.exists()
    assert TeacherCall.objects.filter(run=disturbed, outcome="answered").count() == wanted
    accounts = {run: costs(run) for run in (calm, disturbed)}
    assert [(found.failed > 0, found.lost > 0, found.fruitless > 0) for found in accounts.values() if found] == [
        (False, False, False),
        (True, True, True),
    ]
    assert not TeacherCall.objects.exclude(text="").exists()  # the texts are now in the rows
    assert not StageAttempt.objects.filter(held_prompt_tokens__gt=0).exists()


def test_a_refused_response_is_unscored_and_never_zero(launch: Callable[..., Run], teacher: Teacher) -> None:
    teacher.special = lambda text, _: GEMINI_TROUBLES["blocked prompt"] if "What is 3 plus" in text else None
    run = launch()
    assert run.status == Run.Status.FINISHED, run.status_reason
    judged = Judgement.objects.filter(iteration__run=run)
    assert judged.count() == 4 * (PROMPTS - 1)
    assert not judged.filter(response__prompt__text__contains="What is 3").exists()
    assert not PreferencePair.objects.filter(prompt__text__contains="What is 3").exists()
    assert TeacherCall.objects.filter(run=run, outcome="blocked").count() == 4 * 4 * 3  # three attempts each


def test_a_run_pauses_before_exceeding_its_budget_and_continues_when_it_is_raised(
    launch: Callable[..., Run], teacher: Teacher, admin: Any
) -> None:
    unlimited = rows_of(launch())
    teacher.server.seen.clear()
    prices = {"prompt_price": 1.0, "completion_price": 10.0}
    run = launch(paid={"budget_tokens": 30_000, "budget_usd": 50.0, **prices})
    assert run.status == Run.Status.PAUSED
    assert "budget is used up" in run.status_reason
    assert "Raise the budget" in run.status_reason
    found = spending.totals(run.pk)
    assert 0 < found["tokens"] <= 30_000
    assert found["usd"] == pytest.approx((found["prompt"] * 1 + found["completion"] * 10) / 1e6)
    judged = Judgement.objects.filter(iteration__run=run).count()
    assert judged >= found["calls"] // 4 - 4
    with pytest.raises(Refused, match="give a larger budget"):
        spending.set_budget(run, tokens=100, usd=None, user=admin)
    spending.set_budget(run, tokens=10**6, usd=None, user=admin)
    assert "30,000 to 1,000,000 tokens by ada" in run.events.filter(kind="log").latest("seq").payload["text"]
    runs.resume(run, user=admin)
    run = drive(run)
    assert run.status == Run.Status.FINISHED, run.status_reason
    assert rows_of(run) == unlimited
    # Replies of a judgement that was incomplete when the budget ran out were stored: no request was repeated.
    assert TeacherCall.objects.filter(run=run, outcome="answered").count() == PROMPTS * 4 * 4
    assert run.config["teacher"]["budget_tokens"] == 30_000  # the configured budget is unchanged


def test_a_budget_in_money_stops_in_time_and_needs_prices(launch: Callable[..., Run]) -> None:
    with pytest.raises(ConfigError, match="needs both prices"):
        launch(paid={"budget_usd": 1.0, "prompt_price": 1.0})
    run = launch(paid={"budget_usd": 0.01, "prompt_price": 1.0, "completion_price": 10.0})
    assert run.status == Run.Status.PAUSED
    assert "of 0.01 USD" in run.status_reason
    assert 0 < spending.totals(run.pk)["usd"] <= 0.01


@pytest.mark.parametrize(
    ("budget", "too_little", "more", "said"),
    [
        ({"budget_tokens": 8_000}, {"tokens": "10"}, {"tokens": "1,000,000"}, "of 8,000 tokens"),
        ({"budget_usd": 0.01}, {"usd": "0.001"}, {"usd": "5"}, "of 0.01 USD"),
    ],
)
def test_an_exhausted_budget_is_shown_on_the_run_page_and_can_be_raised_there(
    launch: Callable[..., Run],
    admin: Any,
    client: Client,
    budget: dict[str, Any],
    too_little: dict[str, str],
    more: dict[str, str],
    said: str,
) -> None:
    run = launch(paid={"prompt_price": 1.0, "completion_price": 10.0, **budget})
    assert run.status == Run.Status.PAUSED
    client.force_login(admin)
    address, act = reverse("run", args=[run.pk]), reverse("run-act", args=[run.pk, "budget"])
    page = client.get(address).content.decode()
    assert said in page
    assert "Raise the budget on this page, then resume." in page
    assert "Set and resume" in page
    for wrong, remedy in (
        (too_little, "give a larger budget"),
        ({}, "Give a number of tokens"),
        ({"tokens": "x"}, "must be a number"),
    ):
        page = client.post(act, {**wrong, "resume": "1"}, follow=True).content.decode()
        assert remedy in page
        run.refresh_from_db()
        assert run.status == Run.Status.PAUSED
        assert (run.budget_tokens, run.budget_usd) == (None, None)
    page = client.post(act, {**more, "resume": "1"}, follow=True).content.decode()
    assert "Budget set." in page
    run = drive(run)
    assert run.status == Run.Status.FINISHED, run.status_reason
    assert Judgement.objects.filter(iteration__run=run).count() == PROMPTS * 4


def test_requests_in_flight_of_a_dead_worker_count_as_spent(launch: Callable[..., Run]) -> None:
    run = launch(paid={"budget_tokens": 2000})
    assert run.status == Run.Status.PAUSED
    before = spending.totals(run.pk)
    runs.resume(run)
    stage = Stage.objects.get(iteration__run=run, status=Stage.Status.QUEUED)
    dead = stages.claim(run.pk, stage.queue, worker="w", host="h", pid=1)
    assert dead is not None
    config = RunConfig.parse(run.config)
    spending.set_budget(run, tokens=10_000, usd=None)
    run.refresh_from_db()
    account = spending.Account(dead, run, config).line("gemini: gemini-x", Price())
    assert account.reserve(Usage(1000, 40))
    assert not account.reserve(Usage(9000, 40))
    stages.crash(dead, "killed", StageAttempt.Reason.DIED)
    heir = stages.claim(run.pk, stage.queue, worker="w", host="h", pid=2)
    assert heir is not None
    spending.Account(heir, run, config)
    after = spending.totals(run.pk)
    assert after["tokens"] - before["tokens"] == 2 * 1040  # the reservation covers twice the requests in flight
    assert after["lost"] == 1


def test_an_unavailable_teacher_pauses_the_run_and_loses_no_reply(launch: Callable[..., Run], teacher: Teacher) -> None:
    unlimited = rows_of(launch())
    asked: list[str] = []

    def sometimes(text: str, _: int) -> Reply | None:
        asked.append(text)
        away = as_json({"error": {"message": "daily quota", "code": 429}}, 429, **{"retry-after": "86400"})
        return away if len(asked) > 50 else None

    teacher.special = sometimes
    run = launch()
    assert run.status == Run.Status.PAUSED
    assert "requested a wait of 86400 seconds" in run.status_reason
    kept = TeacherCall.objects.filter(run=run, outcome="answered").count()
    assert 34 <= kept <= 50
    teacher.special = lambda text, number: None
    runs.resume(run)
    run = drive(run)
    assert run.status == Run.Status.FINISHED, run.status_reason
    assert rows_of(run) == unlimited
    assert TeacherCall.objects.filter(run=run, outcome="answered").count() == PROMPTS * 4 * 4


def test_a_key_is_sent_to_its_own_address_only(launch: Callable[..., Run], teacher: Teacher, admin: Any) -> None:
    elsewhere = Provider(lambda *_: candidate("Score: 3"))
    try:
        with pytest.raises(ConfigError, match=f"may be sent to {teacher.server.address} only"):
            launch(paid={"base_url": elsewhere.address})
        with pytest.raises(ConfigError, match="no key named 'nobody'"):
            launch(paid={"key": "nobody"})
        with pytest.raises(ConfigError, match="another provider"):
            launch(paid={"kind": "openai_compatible"})
        with pytest.raises(Refused) as refusal:  # the worker checks again
            keys.open_key("gemini", "proof", elsewhere.address)
        assert refusal.value.code == "no-key"
        assert elsewhere.headers == []
    finally:
        elsewhere.close()


def test_the_environments_keys_go_to_the_providers_own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", PLAIN_KEY)
    monkeypatch.setenv("GEMINI_API_KEY", PLAIN_KEY)
    assert keys.open_key("openai_compatible", "", "http://anybody.example/v1") is None
    assert keys.open_key("gemini", "", "http://anybody.example") is None
    for address in (
        "https://api.openai.com.evil.example/v1",
        "http://api.openai.com/v1",
        "https://api.openai.com:444/v1",
    ):
        assert keys.open_key("openai_compatible", "", address) is None
    assert keys.open_key("openai_compatible", "", "https://api.openai.com/v1") is not None
    assert keys.open_key("gemini", "", "") is not None
    monkeypatch.setenv("OPENAI_BASE_URL", "http://anybody.example/v1")
    assert keys.open_key("openai_compatible", "", "http://anybody.example/v1") is not None
    assert keys.open_key("openai_compatible", "", "http://anybody.example/v2") is None


def test_only_admins_manage_keys_and_no_page_shows_one(launch: Callable[..., Run], admin: Any, settings: Any) -> None:
    lead, _ = people.invite("lena", "lead", by=admin)
    key = ProviderKey.objects.get()
    for forbidden in (
        lambda: keys.store("x", "gemini", "", PLAIN_KEY, by=lead),
        lambda: keys.replace(key, PLAIN_KEY, by=lead),
        lambda: keys.remove(key, by=lead),
        lambda: keys.request_test(key, by=lead),
    ):
        with pytest.raises(Refused, match="Only admins"):
            forbidden()
    assert PLAIN_KEY not in key.secret
    assert keys.decrypt(key) == PLAIN_KEY
    assert key.last_four == PLAIN_KEY[-4:]
    settings.SECRET_KEY = "another secret key that is long enough"
    with pytest.raises(Refused, match="another SECRET_KEY"):
        keys.decrypt(key)


@pytest.mark.parametrize("provider", ["gemini", "openai_compatible"])
def test_a_worker_tests_a_key_and_saves_the_outcome(teacher: Teacher, admin: Any, provider: str) -> None:
    from training.jobs.keys import try_key

    key = keys.store(
        "k", provider, teacher.server.address + ("/v1" if provider != "gemini" else ""), PLAIN_KEY, by=admin
    )
    try_key(key.pk)
    key.refresh_from_db()
    assert key.test_passed is True
    assert "1 model." in key.test_result
    assert any(PLAIN_KEY in value for value in teacher.server.headers[-1].values())
    teacher.server.close()
    try_key(key.pk)
    key.refresh_from_db()
    assert key.test_passed is False
    assert PLAIN_KEY not in key.test_result


def test_an_openai_compatible_teacher_is_paid_the_same_way(launch: Callable[..., Run], admin: Any) -> None:
    server = Provider(lambda text, number, body: chat(f"Fine.\nScore: {body['seed'] % 6}", prompt=200, completion=8))
    try:
        keys.store("other", "openai_compatible", server.address + "/v1", PLAIN_KEY, by=admin)
        paid = {"kind": "openai_compatible", "model": "m", "base_url": server.address + "/v1", "key": "other"}
        run = launch(paid=paid)
        assert run.status == Run.Status.FINISHED, run.status_reason
        assert spending.totals(run.pk)["tokens"] == PROMPTS * 16 * 208
        assert all(headers["authorization"] == f"Bearer {PLAIN_KEY}" for headers in server.headers)
    finally:
        server.close()


@pytest.mark.parametrize("kind", ["gemini", "openai_compatible"])
def test_a_key_is_never_stored_in_errors_that_repeat_it(
    launch: Callable[..., Run], admin: Any, client: Any, kind: str
) -> None:
    seen: list[str] = []
    good = candidate if kind == "gemini" else chat

    def tell(text: str, number: int, body: dict[str, Any]) -> Reply:
        seen.append(text)
        if len(seen) % 5 == 0:
            return as_json({"error": {"message": f"slow down, {PLAIN_KEY}", "code": 429}}, 429)
        if len(seen) > 60:
            return as_json({"error": {"message": f"API key not valid: {PLAIN_KEY}", "code": 401}}, 401)
        return good(f"You sent {PLAIN_KEY}.\nScore: {len(seen) % 6}")

    server = Provider(tell)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(logs.HideKeys())
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    address = server.address + ("" if kind == "gemini" else "/v1")
    try:
        keys.store("echo", kind, address, PLAIN_KEY, by=admin)
        run = launch(paid={"kind": kind, "base_url": address, "key": "echo", "concurrency": 4})
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        server.close()
    assert run.status == Run.Status.FAILED
    assert "refused the key" in run.status_reason
    assert any(PLAIN_KEY in value for headers in server.headers for value in headers.values())  # the key was sent
    rows = [row for model in apps.get_models() for row in model._base_manager.all()]
    everything = serializers.serialize("json", rows)
    assert PLAIN_KEY not in everything
    assert PLAIN_KEY not in stream.getvalue()
    client.force_login(admin)
    one, api = f"/runs/{run.pk}", f"/api/v1/runs/{run.pk}"
    pages = [f"{one}/", f"{one}/samples/?stage=judgements", f"{one}/config.yaml", "/keys/", "/system/"]
    for page in (*pages, f"{api}/", f"{api}/events/", f"{api}/samples/", f"{api}/costs/", "/data/exports/"):
        response = client.get(page)
        assert response.status_code == 200, page
        assert PLAIN_KEY not in response.content.decode()
