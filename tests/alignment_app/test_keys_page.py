"""The keys page and the budget of a launch: errors are reported and keys are never shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from alignment_app.models import ProviderKey, Run
from alignment_app.services import keys, queues
from tests.support.launchable import sent_form, small_config
from training.domain.engine_kinds import PROVIDERS

pytestmark = pytest.mark.django_db

PLAIN = "planted-key-92b1c4d8e7"
GOOD = {"name": "gemini-lab", "provider": "gemini", "base_url": "", "secret": PLAIN}


@pytest.fixture
def admin(as_role: Callable[[str], Client]) -> Client:
    return as_role("admin")


def everything_shown(client: Client) -> str:
    """All pages that could show a key."""
    pages = (reverse("keys"), reverse("launch"), reverse("system"), "/admin/", "/admin/alignment_app/providerkey/")
    answers = [client.get(page) for page in pages]
    answers += [client.get(f"/admin/alignment_app/providerkey/{key.pk}/change/") for key in ProviderKey.objects.all()]
    assert {answer.status_code for answer in answers} <= {200, 302}
    return "".join(answer.content.decode() for answer in answers)


def test_a_key_is_stored_and_from_then_on_shown_by_its_last_four_characters_alone(admin: Client) -> None:
    assert "No keys yet" in admin.get(reverse("keys")).content.decode()
    answer = admin.post(reverse("keys"), GOOD, follow=True)
    page = answer.content.decode()
    assert "gemini-lab stored" in page
    assert "…d8e7" in page
    assert PROVIDERS["gemini"].address in page  # empty: the provider's own
    assert PLAIN not in page + everything_shown(admin)
    assert PLAIN[:-4] not in page + everything_shown(admin)
    assert keys.decrypt(ProviderKey.objects.get()) == PLAIN
    assert PLAIN not in ProviderKey.objects.get().secret


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": ""}, "letters, digits"),
        ({"name": "my key"}, "letters, digits"),
        ({"name": "n" * 61}, "letters, digits"),
        ({"provider": "elsewhere"}, "Choose a provider"),
        ({"provider": ""}, "Choose a provider"),
        ({"base_url": "ftp://files.example"}, "address like"),
        ({"base_url": "https://name:word@api.example/v1"}, "without user name or password"),
        ({"base_url": "http://[::1"}, "address like"),
        ({"secret": ""}, "at least 8 characters"),
        ({"secret": "short"}, "at least 8 characters"),
        ({"secret": f"{PLAIN} {PLAIN}"}, "no spaces"),
        ({"secret": f"{PLAIN}\u00e9"}, "Paste the whole key"),
    ],
)
def test_invalid_input_is_reported_and_kept_without_the_key(admin: Client, wrong: dict[str, str], said: str) -> None:
    answer = admin.post(reverse("keys"), GOOD | wrong)
    page = answer.content.decode()
    assert answer.status_code == 400
    assert said in page
    assert not ProviderKey.objects.exists()
    assert PLAIN not in page
    for kept in {"name", "base_url"} - set(wrong):
        assert f'value="{GOOD[kept]}"' in page


def test_a_name_is_taken_once_and_a_key_is_replaced_and_deleted(admin: Client) -> None:
    admin.post(reverse("keys"), GOOD)
    again = admin.post(reverse("keys"), GOOD | {"secret": "another-key-0000"})
    assert "gemini-lab exists" in again.content.decode()
    key = ProviderKey.objects.get()
    assert keys.decrypt(key) == PLAIN
    act = reverse("key-act", args=[key.pk, "replace"])
    assert "at least 8 characters" in admin.post(act, {"secret": "tiny"}, follow=True).content.decode()
    assert keys.decrypt(ProviderKey.objects.get()) == PLAIN
    page = admin.post(act, {"secret": "another-key-0000"}, follow=True).content.decode()
    assert "…0000" in page
    assert "another-key" not in page
    assert keys.decrypt(ProviderKey.objects.get()) == "another-key-0000"
    assert "gemini-lab deleted" in admin.post(reverse("key-act", args=[key.pk, "delete"]), follow=True).content.decode()
    assert not ProviderKey.objects.exists()


def test_a_key_test_without_a_queue_fails(
    admin: Client, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    monkeypatch.setattr(queues, "_pool", None)
    admin.post(reverse("keys"), GOOD)
    page = admin.post(reverse("key-act", args=[ProviderKey.objects.get().pk, "test"]), follow=True).content.decode()
    assert "failed" in page
    assert "The queue" in page
    assert PLAIN not in page


@pytest.mark.parametrize("role", ["nobody", "viewer", "annotator", "lead"])
def test_others_than_admins_neither_see_nor_touch_keys(
    as_role: Callable[[str], Client], admin: Client, role: str
) -> None:
    admin.post(reverse("keys"), GOOD)
    key = ProviderKey.objects.get()
    client = as_role(role)
    for answer in (
        client.get(reverse("keys")),
        client.post(reverse("keys"), GOOD | {"name": "mine"}),
        client.post(reverse("key-act", args=[key.pk, "delete"])),
        client.post(reverse("key-act", args=[key.pk, "replace"]), {"secret": "another-key-0000"}),
    ):
        assert answer.status_code in (302, 403)
        assert "d8e7" not in answer.content.decode()
    assert keys.decrypt(ProviderKey.objects.get()) == PLAIN


PAID = {"kind": "gemini", "model": "gemini-x", "key": "gemini-lab", "prompt_price": 1.0, "completion_price": 4.0}


@pytest.fixture
def paid_form(tmp_path: Path, admin: Client) -> dict[str, Any]:
    """A submitted launch form of a run with a paid teacher."""
    admin.post(reverse("keys"), GOOD)
    teacher = PAID | {"budget_tokens": 50_000, "budget_usd": 2.5}
    return sent_form(small_config(tmp_path, paradigm="teacher_reward", teacher=teacher))


def test_a_launch_form_takes_a_key_and_both_budgets(admin: Client, paid_form: dict[str, Any]) -> None:
    answer = admin.post(reverse("launch"), paid_form)
    assert answer.status_code == 302, answer.content.decode()
    teacher = Run.objects.get().config["teacher"]
    assert (teacher["key"], teacher["budget_tokens"], teacher["budget_usd"]) == ("gemini-lab", 50_000, 2.5)
    page = admin.get(answer.headers["Location"]).content.decode()
    assert "of 50,000" in page
    assert "of 2.5" in page
    assert PLAIN not in page


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"teacher.budget_tokens": "0"}, "greater than or equal to 1"),
        ({"teacher.budget_tokens": "many"}, "Must be a whole number"),
        ({"teacher.budget_tokens": "1.5"}, "Must be a whole number"),
        ({"teacher.budget_usd": "0"}, "greater than 0"),
        ({"teacher.budget_usd": "-3"}, "greater than 0"),
        ({"teacher.budget_usd": "two"}, "Must be a number"),
        ({"teacher.budget_usd": "nan"}, "finite number"),
        ({"teacher.prompt_price": ""}, "needs both prices"),
        ({"teacher.completion_price": ""}, "needs both prices"),
        ({"teacher.prompt_price": "-1"}, "greater than or equal to 0"),
        ({"teacher.key": "nobody"}, "there is no key named"),
        ({"teacher.base_url": "https://elsewhere.example"}, "only; use that address"),
    ],
)
def test_an_invalid_budget_or_key_is_reported_at_its_field(
    admin: Client, paid_form: dict[str, Any], wrong: dict[str, str], said: str
) -> None:
    answer = admin.post(reverse("launch"), paid_form | wrong)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert said in page.replace("&#x27;", "'"), [line for line in page.splitlines() if "wrong" in line]
    assert not Run.objects.exists()
    assert PLAIN not in page
