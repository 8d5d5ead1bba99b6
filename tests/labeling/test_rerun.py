"""Run again after the freeze: the current pairs become a data set, and a new run trains the same checkpoint on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from alignment_app.models import Checkpoint, Dataset, Iteration, PreferencePair, Run
from labeling.models import Queue
from labeling.services import rerun, reviews
from labeling.services.answers import Answer
from tests.support.review import freeze, take

Make = Callable[..., Queue]


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def decided_late(make: Make, annotators: list[User], iteration: Iteration) -> Iteration:
    """An iteration in which a person flips and drops pairs after the freeze."""
    freeze(iteration)
    queue = make()
    reviews.submit(take(queue, annotators[0]), Answer("flip"))
    reviews.submit(take(queue, annotators[1]), Answer("both_bad"))
    return iteration


def test_the_page_shows_the_planned_run_and_post_launches_it(decided_late: Iteration, lead: User) -> None:
    address = reverse("review-again", args=[decided_late.pk])
    for page in (reverse("run", args=[decided_late.run_id]), reverse("review-queue", args=[Queue.objects.get().pk])):
        assert f'href="{address}"' in client_of(lead).get(page).content.decode()
    page = " ".join(client_of(lead).get(address).content.decode().split())
    assert "2 pairs of waiting, iteration 1" in page
    assert "DPO and the other settings of waiting" in page
    assert not Dataset.objects.filter(kind=Dataset.Kind.PREFERENCES).exists()
    reply = client_of(lead).post(address)
    run = Run.objects.exclude(pk=decided_late.run_id).get()
    assert (reply.status_code, reply.headers["Location"]) == (302, reverse("run", args=[run.pk]))
    assert run.cloned_from_id == decided_late.run_id
    dataset = Dataset.objects.get(name=run.config["pairs"]["from_dataset"])
    kept = {(pair.chosen.text, pair.rejected.text) for pair in PreferencePair.objects.filter(prompt__dataset=dataset)}
    standing = PreferencePair.objects.filter(iteration=decided_late, state__in=PreferencePair.TRAINABLE)
    assert kept == {(pair.chosen.text, pair.rejected.text) for pair in standing}
    assert (run.config["prompts"]["count"], run.config["review"]["enabled"], run.config["iterations"]) == (2, False, 1)


def test_the_new_run_trains_the_input_checkpoint_of_the_iteration(
    decided_late: Iteration, lead: User, home: Path
) -> None:
    folder = home / "checkpoints" / "m1-of-a-test"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    checkpoint = Checkpoint.objects.get(run=decided_late.run_id, number=1)
    Checkpoint.objects.filter(pk=checkpoint.pk).update(location="checkpoints/m1-of-a-test")
    Iteration.objects.filter(pk=decided_late.pk).update(input_checkpoint=checkpoint)
    run = rerun.start(Iteration.objects.get(pk=decided_late.pk), by=lead)
    assert run.config["student"]["model"] == str(folder)
    assert run.config["sft"]["enabled"] is False


def test_a_second_launch_makes_a_second_data_set(decided_late: Iteration, lead: User) -> None:
    names = [rerun.start(decided_late, by=lead).config["pairs"]["from_dataset"] for _ in range(3)]
    assert len(set(names)) == 3


def test_nothing_is_launched_while_the_snapshot_is_not_stale(iteration: Iteration, lead: User) -> None:
    freeze(iteration)
    address = reverse("review-again", args=[iteration.pk])
    assert "Nothing to run again" in client_of(lead).get(address).content.decode()
    assert client_of(lead).post(address).status_code == 409
    assert Run.objects.count() == 1


def test_only_a_lead_can_run_again(decided_late: Iteration, annotators: list[User], viewer: User) -> None:
    address = reverse("review-again", args=[decided_late.pk])
    for user in (annotators[0], viewer):
        assert client_of(user).post(address).status_code == 403
    assert Run.objects.count() == 1
