"""Leases: two people never get the same slot."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.utils import timezone

from alignment_app.models import Iteration
from alignment_app.services.errors import Refused
from labeling.models import Assignment, Queue, Review, Task
from labeling.services import leases, queues, reviews
from labeling.services.answers import Answer
from tests.support.review import expire, take

Make = Callable[..., Queue]


def test_two_people_are_given_different_items(make: Make, annotators: list[User]) -> None:
    queue = make()
    assert take(queue, annotators[0]).task_id != take(queue, annotators[1]).task_id


def test_next_returns_the_leased_item_again_with_the_same_sides(make: Make, annotators: list[User]) -> None:
    queue = make()
    first, again = take(queue, annotators[0]), take(queue, annotators[0])
    assert (first.pk, first.swapped) == (again.pk, again.swapped)


def test_only_one_item_is_prefetched(make: Make, annotators: list[User]) -> None:
    queue = make()
    here = take(queue, annotators[0])
    prefetched = take(queue, annotators[0], beside=here.task_id)
    assert prefetched.task_id != here.task_id
    assert take(queue, annotators[0], beside=prefetched.task_id).task_id == here.task_id


def test_an_item_with_an_expired_lease_returns_to_the_queue_with_its_draft(make: Make, annotators: list[User]) -> None:
    queue = make()
    mine = take(queue, annotators[0])
    leases.save_draft(mine, {"reason": "half a sen"})
    expire(mine)
    assert take(queue, annotators[1]).task_id == mine.task_id
    mine.refresh_from_db()
    assert (mine.state, mine.draft) == (Assignment.State.RETURNED, {"reason": "half a sen"})


def test_renew_extends_valid_leases_and_no_expired_ones(make: Make, annotators: list[User]) -> None:
    queue = make()
    mine = take(queue, annotators[0])
    assert leases.renew(queue, annotators[0]) is not None
    expire(mine)
    assert leases.renew(queue, annotators[0]) is None


def test_a_released_item_can_be_leased_by_everyone(make: Make, annotators: list[User]) -> None:
    queue = make()
    mine = take(queue, annotators[0])
    leases.release(mine)
    leases.release(mine)
    task = Task.objects.get(pk=mine.task_id)
    assert (task.free, task.state) == (1, Task.State.OPEN)
    assert take(queue, annotators[1]).task_id == mine.task_id


def test_a_skipped_item_goes_to_others_and_not_to_the_same_person(make: Make, annotators: list[User]) -> None:
    queue = make()
    mine = take(queue, annotators[0])
    reviews.skip(mine, "not my subject")
    assert take(queue, annotators[0]).task_id != mine.task_id
    assert take(queue, annotators[1]).task_id == mine.task_id


def test_with_overlap_each_item_goes_to_that_many_different_people(make: Make, annotators: list[User]) -> None:
    queue = make(overlap=2)
    seen: dict[int, set[int]] = {}
    for person in annotators:
        while (assignment := leases.next_task(queue, person)) is not None:
            assert person.pk not in seen.setdefault(assignment.task_id, set())
            seen[assignment.task_id].add(person.pk)
            reviews.submit(assignment, Answer("confirm"))
    assert {len(people) for people in seen.values()} == {2}
    assert len(seen) == queue.task_count


def test_a_late_answer_counts_if_the_slot_is_still_free(make: Make, annotators: list[User]) -> None:
    queue = make()
    mine = take(queue, annotators[0])
    expire(mine)
    leases.return_expired(queue)
    saved = reviews.submit(mine, Answer("flip", reason="late but mine"))
    assert (saved.review.late, saved.review.in_force) == (True, True)


def test_a_late_answer_is_refused_and_kept_if_another_person_has_the_item(make: Make, annotators: list[User]) -> None:
    queue = make()
    mine = take(queue, annotators[0])
    expire(mine)
    theirs = take(queue, annotators[1])
    assert theirs.task_id == mine.task_id
    with pytest.raises(Refused) as refusal:
        reviews.submit(mine, Answer("flip", reason="too late"))
    assert (refusal.value.code, refusal.value.status) == ("lease-lost", 409)
    kept = Review.objects.get(person=annotators[0])
    assert (kept.late, kept.in_force, kept.reason) == (True, False, "too late")
    reviews.submit(theirs, Answer("confirm"))
    assert Task.objects.get(pk=mine.task_id).settled_by == "answered by ben"


def test_the_same_answer_sent_twice_is_one_review(make: Make, annotators: list[User]) -> None:
    mine = take(make(), annotators[0])
    one, two = (reviews.submit(mine, Answer("tie", reason="no difference")) for _ in range(2))
    assert one.review.pk == two.review.pk
    assert Queue.objects.get(pk=mine.queue_id).done_count == 1


def test_closed_queues_and_queues_past_their_deadline_lease_no_items(
    make: Make, annotators: list[User], lead: User
) -> None:
    queue = make()
    queues.set_open(queue, False, by=lead)
    queue.refresh_from_db()
    with pytest.raises(Refused, match="closed"):
        leases.next_task(queue, annotators[0])
    late = make(deadline=timezone.now() - timedelta(hours=1))
    with pytest.raises(Refused, match="deadline"):
        leases.next_task(late, annotators[0])


def test_only_people_on_the_queue_get_its_items(make: Make, annotators: list[User], viewer: User) -> None:
    queue = make(people=[annotators[0].pk])
    assert leases.next_task(queue, annotators[0]) is not None
    for person in (annotators[1], viewer):
        with pytest.raises(Refused, match="not on this queue"):
            leases.next_task(queue, person)


@pytest.mark.django_db(transaction=True)
def test_concurrent_people_never_get_the_same_item_and_answer_all(
    make_waiting_run: Callable[..., Iteration], lead: User
) -> None:
    people, rounds = 8, 5
    iteration = make_waiting_run(tuple((1.0, 4.0) for _ in range(people * rounds)))
    queue = queues.make_queue(
        queues.NewQueue("race", "pair", order="random", min_seconds=0.0), by=lead, iteration=iteration
    )
    crew = [User.objects.create_user(f"racer{number}") for number in range(people)]
    for person in crew:
        person.groups.add(*lead.groups.all())
    barrier = threading.Barrier(people)
    got: list[int] = []
    problems: list[BaseException] = []

    def work(person: User) -> None:
        try:
            for _ in range(rounds):
                barrier.wait(timeout=60)
                assignment = take(queue, person)
                got.append(assignment.task_id)
                reviews.submit(assignment, Answer("confirm"))
        except BaseException as problem:
            problems.append(problem)
            barrier.abort()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(person,)) for person in crew]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(got) == people * rounds
    assert Counter(got).most_common(1)[0][1] == 1
    queue.refresh_from_db()
    assert queue.done_count == queue.task_count == people * rounds


@pytest.mark.django_db(transaction=True)
def test_expiring_leases_under_load_cause_no_deadlock(make_waiting_run: Callable[..., Iteration], lead: User) -> None:
    people = 6
    iteration = make_waiting_run(tuple((1.0, 4.0) for _ in range(12)))
    queue = queues.make_queue(queues.NewQueue("expiry", "pair", min_seconds=0.0), by=lead, iteration=iteration)
    crew = [User.objects.create_user(f"slow{number}") for number in range(people)]
    for person in crew:
        person.groups.add(*lead.groups.all())
    problems: list[BaseException] = []

    def work(person: User) -> None:
        try:
            while (assignment := leases.next_task(queue, person)) is not None:
                expire(assignment)
                with contextlib.suppress(Refused):  # another person has the item
                    reviews.submit(assignment, Answer("confirm"))
        except BaseException as problem:
            problems.append(problem)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(person,)) for person in crew]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    queue.refresh_from_db()
    assert queue.done_count == queue.task_count == 12
    counted = Review.objects.filter(queue=queue, in_force=True)
    assert counted.values("task").distinct().count() == counted.count() == 12, connection.vendor


#: The program of one annotator: answer items until the queue is empty.
WORKER = """
import sys, django
django.setup()
from django.contrib.auth.models import User
from labeling.models import Queue
from labeling.services import leases, reviews
from labeling.services.answers import Answer
queue, person = Queue.objects.get(pk=int(sys.argv[1])), User.objects.get(username=sys.argv[2])
while (assignment := leases.next_task(queue, person)) is not None:
    print(assignment.task_id, flush=True)
    reviews.submit(assignment, Answer("flip"))
"""


@pytest.mark.django_db(transaction=True)
def test_concurrent_processes_never_get_the_same_item(
    make_waiting_run: Callable[..., Iteration], lead: User, child_environment: dict[str, str]
) -> None:
    iteration = make_waiting_run(tuple((1.0, 4.0) for _ in range(60)))
    queue = queues.make_queue(queues.NewQueue("processes", "pair", min_seconds=0.0), by=lead, iteration=iteration)
    names = [f"process{number}" for number in range(3)]
    for name in names:
        User.objects.create_user(name).groups.add(*lead.groups.all())
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(queue.pk), name],
            env=child_environment | {"DJANGO_SETTINGS_MODULE": "alignment_app.settings", "LOG_LEVEL": "ERROR"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    outputs = [worker.communicate(timeout=120)[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    served = [task for output in outputs for task in output]
    assert len(served) == len(set(served)) == 60
    queue.refresh_from_db()
    assert queue.done_count == 60
