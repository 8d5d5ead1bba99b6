"""The API of the desk: status codes, bodies, and the shape of errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from alignment_app.models import Prompt
from labeling.models import Assignment, Queue, Review, Task
from labeling.services import queues
from tests.support.review import expire

pytestmark = pytest.mark.django_db
Make = Callable[..., Queue]


def client_of(user: User) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.get_or_create(user=user)[0].key}")
    return client


def ask_next(client: APIClient, queue: Queue, **body: Any) -> dict[str, Any]:
    reply = client.post(f"/api/v1/queues/{queue.pk}/next", body)
    assert reply.status_code == 200, reply.content
    found: dict[str, Any] = reply.json()
    return found


def test_next_returns_responses_in_shown_order_and_the_lease_expiry(make: Make, annotators: list[User]) -> None:
    item = ask_next(client_of(annotators[0]), make())
    assignment = Assignment.objects.get()
    shown = [assignment.task.first_id, assignment.task.second_id]
    assert [one["id"] for one in item["items"]] == (shown[::-1] if assignment.swapped else shown)
    assert item["lease_expires"] == assignment.lease_expires_at.isoformat()
    assert item["judge"] is None
    assert "<strong>snake plant</strong>" in item["items"][0]["html"]


def test_an_item_has_the_earlier_turns_with_their_roles_and_long_ones_are_folded(
    make: Make, annotators: list[User]
) -> None:
    queue = make()
    for prompt in Prompt.objects.all():
        prompt.messages = [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "Name **a bird**."},
            {"role": "assistant", "content": "The ostrich."},
            *prompt.messages,
        ]
        prompt.save()
    asked = ask_next(client_of(annotators[0]), queue)["prompt"]
    assert [turn["role"] for turn in asked["earlier"]] == ["System", "User", "Assistant"]
    assert "<strong>a bird</strong>" in asked["earlier"][1]["html"]
    assert asked["earlier_is_long"] is False
    prompt.messages[0]["content"] = "Be short. " * 400
    assert prompt.earlier_is_long


def test_next_returns_204_after_the_whole_queue_is_answered(make: Make, annotators: list[User]) -> None:
    client, queue = client_of(annotators[0]), make()
    for done in range(1, queue.task_count + 1):
        item = ask_next(client, queue)
        reply = client.post(f"/api/v1/tasks/{item['id']}/submit", {"preferred": item["items"][0]["id"], "reason": "x"})
        assert reply.status_code == 201
        assert reply.json()["progress"]["done"] == done
    assert client.post(f"/api/v1/queues/{queue.pk}/next").status_code == 204
    assert Task.objects.filter(state="done").count() == queue.task_count


def test_a_lost_lease_returns_409_and_keeps_the_answer(make: Make, annotators: list[User]) -> None:
    queue, one, two = make(), client_of(annotators[0]), client_of(annotators[1])
    item = ask_next(one, queue)
    expire(Assignment.objects.get())
    assert ask_next(two, queue)["id"] == item["id"]
    reply = one.post(f"/api/v1/tasks/{item['id']}/submit", {"decision": "flip"})
    assert reply.status_code == 409
    assert reply.json()["error"]["code"] == "lease-lost"
    assert Review.objects.get().late


def test_a_person_without_a_lease_cannot_answer_the_item(make: Make, annotators: list[User]) -> None:
    queue = make()
    item = ask_next(client_of(annotators[0]), queue)
    reply = client_of(annotators[1]).post(f"/api/v1/tasks/{item['id']}/submit", {"decision": "flip"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "lease-lost")
    assert not Review.objects.exists()


def test_a_draft_is_restored_after_a_reload(make: Make, annotators: list[User]) -> None:
    client, queue = client_of(annotators[0]), make()
    item = ask_next(client, queue)
    reply = client.post(f"/api/v1/tasks/{item['id']}/draft", {"draft": {"reason": "half a sen"}})
    assert reply.status_code == 200
    assert ask_next(client, queue)["draft"] == {"reason": "half a sen"}


def test_revealing_shows_the_judge_and_what_the_answer_would_change(make: Make, annotators: list[User]) -> None:
    client, queue = client_of(annotators[0]), make()
    item = ask_next(client, queue)
    task = Task.objects.get(pk=item["id"])
    reply = client.post(f"/api/v1/tasks/{task.pk}/reveal", {"preferred": task.second_id}).json()
    assert reply["judge"]["chosen"] == task.first_id
    assert reply["preview"]["kind"] == "flips"
    assert "3 pairs" in reply["preview"]["note"]
    client.post(f"/api/v1/tasks/{task.pk}/reveal", {"preferred": task.first_id})
    assert Assignment.objects.get().first_answer["decision"] == "flip"


def test_the_prefetched_item_is_another_one_and_its_time_begins_when_it_is_shown(
    make: Make, annotators: list[User]
) -> None:
    client, queue = client_of(annotators[0]), make()
    here = ask_next(client, queue)
    prefetched = ask_next(client, queue, beside=here["id"])
    assert prefetched["id"] != here["id"]
    assert Assignment.objects.get(task=prefetched["id"]).shown_at is None
    assert client.post(f"/api/v1/tasks/{prefetched['id']}/seen").status_code == 204
    assert Assignment.objects.get(task=prefetched["id"]).shown_at is not None


def test_undo_returns_the_item_with_the_answer_as_draft(make: Make, annotators: list[User]) -> None:
    client, queue = client_of(annotators[0]), make()
    item = ask_next(client, queue)
    client.post(f"/api/v1/tasks/{item['id']}/submit", {"decision": "tie", "reason": "same"})
    reply = client.post(f"/api/v1/queues/{queue.pk}/undo")
    assert (reply.status_code, reply.json()["id"]) == (200, item["id"])
    assert reply.json()["draft"] == {"decision": "tie", "reason": "same"}
    again = client.post(f"/api/v1/queues/{queue.pk}/undo")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "nothing-to-undo")


def test_release_skip_and_renew_answer_as_documented(make: Make, annotators: list[User]) -> None:
    client, queue = client_of(annotators[0]), make()
    item = ask_next(client, queue)
    assert client.post(f"/api/v1/queues/{queue.pk}/renew").status_code == 200
    assert client.post(f"/api/v1/tasks/{item['id']}/release").status_code == 204
    reply = client.post(f"/api/v1/queues/{queue.pk}/renew")
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "lease-lost")
    item = ask_next(client, queue)
    assert client.post(f"/api/v1/tasks/{item['id']}/skip", {"reason": "no idea"}).status_code == 201
    assert ask_next(client, queue)["id"] != item["id"]


@pytest.mark.parametrize(
    "body",
    [{}, {"decision": "maybe"}, {"preferred": 10**9}, {"decision": "edit", "text": "  "}, {"preferred": "left"}, []],
)
def test_an_invalid_body_returns_400_and_writes_nothing(make: Make, annotators: list[User], body: Any) -> None:
    client = client_of(annotators[0])
    item = ask_next(client, make())
    reply = client.post(f"/api/v1/tasks/{item['id']}/submit", body)
    assert reply.status_code == 400
    assert set(reply.json()["error"]) == {"code", "message", "fields"}
    assert not Review.objects.exists()


def test_the_api_refuses_anonymous_users_viewers_and_people_without_access(
    make: Make, annotators: list[User], viewer: User
) -> None:
    queue = make(people=[annotators[0].pk])
    address = f"/api/v1/queues/{queue.pk}/next"
    assert APIClient().post(address).status_code in (401, 403)
    assert client_of(viewer).post(address).status_code == 403
    reply = client_of(annotators[1]).post(address)
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "not-your-queue")
    assert client_of(annotators[0]).get("/api/v1/queues").json()["results"][0]["id"] == queue.pk
    assert client_of(annotators[1]).get("/api/v1/queues").json()["results"] == []


def test_an_item_does_not_reveal_that_it_is_gold(make: Make, annotators: list[User], lead: User) -> None:
    client, queue = client_of(annotators[0]), make()
    queues.set_gold(Task.objects.get(queue=queue, rank=0), {"decision": "flip"}, by=lead)
    gold = ask_next(client, queue)
    plain = ask_next(client, queue, beside=gold["id"])
    assert gold.keys() == plain.keys()
    assert "gold" not in str(gold)
    assert "expected" not in str(gold)
    replies = [client.post(f"/api/v1/tasks/{one['id']}/submit", {"decision": "tie"}).json() for one in (gold, plain)]
    assert replies[0].keys() == replies[1].keys()


def test_differences_are_in_shown_order(make: Make, annotators: list[User]) -> None:
    client = client_of(annotators[0])
    item = ask_next(client, make())
    sides = client.get(f"/api/v1/tasks/{item['id']}/differences").json()["items"]
    assert ["".join(run for run, _ in side) for side in sides] == [one["text"] for one in item["items"]]
    assert any(differs for _, differs in sides[0])
