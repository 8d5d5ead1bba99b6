"""The list of runs."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from alignment_app.models import Run
from tests.support.people import person
from tests.support.stories import Story

pytestmark = pytest.mark.django_db


@pytest.fixture
def lead(client: Client) -> Client:
    client.force_login(person())
    return client


def page(client: Client, **query: Any) -> str:
    return client.get(reverse("runs"), query).content.decode()


def test_an_empty_list_says_what_to_do_first(lead: Client) -> None:
    text = page(lead)
    assert "Launch the demo" in text
    assert "preset=miniature-teacher-reward" in text
    assert "make demo" in text


def test_a_viewer_is_not_offered_a_launch(client: Client) -> None:
    client.force_login(person("viewer"))
    text = page(client)
    assert "No runs yet" in text
    assert "Launch the demo" not in text
    assert "New run" not in text


def test_a_run_shows_its_state_stage_and_time_left(lead: Client) -> None:
    Story.launch(name="plain one").until(2, "judgements", 0.5)
    text = page(lead)
    assert "plain one" in text
    assert "Running" in text
    assert "Judgements, iteration 2 of 2" in text
    assert "min left" in text
    assert "M2" in text


def test_a_queued_run_shows_its_place_in_the_queue(lead: Client) -> None:
    for name in ("first", "second"):
        Story.launch(name=name).state(Run.Status.QUEUED, "Waiting for a worker.")
    text = " ".join(page(lead).split())
    assert "next in the queue" in text
    assert "position 2 in the queue" in text


def test_the_list_can_be_searched_by_name_model_and_number(lead: Client) -> None:
    one = Story.launch(name="apple").run
    Story.launch(name="pear", student={"model": "org/tree-1b", "max_length": 512})
    assert "pear" not in page(lead, q="apple")
    assert "apple" not in page(lead, q="tree-1b")
    assert "apple" in page(lead, q=f"#{one.pk}")


def test_the_list_can_be_narrowed_to_state_and_paradigm(lead: Client) -> None:
    Story.launch(name="apple").until(1, "responses", 0.2).break_off("failed", "The disk is full.")
    Story.launch(name="pear", paradigm="self_reward")
    wrong = page(lead, status="wrong")
    assert "apple" in wrong
    assert "The disk is full." in wrong
    assert "pear" not in wrong
    assert "apple" not in page(lead, paradigm="self_reward")
    assert "No run found" in page(lead, status="finished")


def test_an_unknown_filter_or_page_is_no_error(lead: Client) -> None:
    Story.launch(name="apple")
    assert "apple" in page(lead, status="nonsense", paradigm="<b>", page="minus one")


def test_the_list_is_paged(lead: Client) -> None:
    first = Story.launch(name="run 000").run
    Run.objects.bulk_create(
        Run(name=f"run {number:03}", config=first.config, config_hash=first.config_hash, paradigm=first.paradigm)
        for number in range(1, 45)
    )
    assert "1 to 20 of 45" in page(lead)
    assert "run 000" in page(lead, page=3)


def test_htmx_gets_the_table_alone(lead: Client) -> None:
    Story.launch(name="apple")
    text = lead.get(reverse("runs"), headers={"HX-Request": "true"}).content.decode()
    assert "apple" in text
    assert "<html" not in text


def test_names_are_escaped(lead: Client) -> None:
    Story.launch(name="<script>alert(1)</script>")
    text = page(lead)
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_the_number_of_queries_does_not_grow_with_the_runs(lead: Client, django_assert_max_num_queries: Any) -> None:
    for number in range(6):
        Story.launch(name=f"run {number}").until(0, "sft").state(Run.Status.PAUSED, "Paused.")
    with django_assert_max_num_queries(14):
        page(lead)
