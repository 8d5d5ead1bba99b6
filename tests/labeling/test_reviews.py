"""What answers change in the record, what they leave alone, and that everything can be taken back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from alignment_app.models import (
    DatasetSnapshot,
    Iteration,
    Judgement,
    PreferencePair,
    Response,
    Run,
    RunEvent,
    SnapshotItem,
    Stage,
)
from alignment_app.selectors import work
from alignment_app.services.errors import Refused
from alignment_app.signals import review_counts_due
from labeling.models import Assignment, Queue, Review, Task
from labeling.pages import desk
from labeling.pages.preview import preview
from labeling.selectors import record
from labeling.services import gates, leases, queues, reviews
from labeling.services.answers import Answer
from tests.labeling.test_leases import take

Make = Callable[..., Queue]


def answer_of(queue: Queue, person: User, answer: Answer) -> Review:
    return reviews.submit(take(queue, person), answer).review


def sides(pair: PreferencePair) -> tuple[int, int, str]:
    return pair.chosen_id, pair.rejected_id, pair.state


def freeze(iteration: Iteration) -> DatasetSnapshot:
    """What the dataset stage leaves in the record."""
    pairs = PreferencePair.objects.filter(iteration=iteration, state__in=PreferencePair.TRAINABLE)
    snapshot = DatasetSnapshot.objects.create(
        iteration=iteration, kind="preference", content_hash="0" * 64, path="snapshots/x.jsonl", row_count=len(pairs)
    )
    for position, pair in enumerate(pairs):
        SnapshotItem.objects.create(snapshot=snapshot, position=position, pair=pair)
    return snapshot


def test_confirming_keeps_the_pair_and_says_who_confirmed_it(make: Make, annotators: list[User]) -> None:
    review = answer_of(make(), annotators[0], Answer("confirm", reason="clear"))
    pair = review.task.pair
    assert pair is not None
    pair.refresh_from_db()
    assert (pair.state, pair.chosen_id) == ("confirmed", review.task.first_id)
    assert "ana" in pair.reason
    assert "clear" in pair.reason


def test_flipping_turns_responses_scores_and_margin_round(make: Make, annotators: list[User]) -> None:
    review = answer_of(make(), annotators[0], Answer("flip"))
    pair = PreferencePair.objects.get(pk=review.task.pair_id)
    assert sides(pair) == (review.task.second_id, review.task.first_id, "overridden")
    assert (pair.chosen_score, pair.rejected_score, pair.margin) == (1.0, 4.0, -3.0)
    assert pair.origin == "self"


@pytest.mark.parametrize("decision", ["tie", "both_bad"])
def test_a_tie_and_both_bad_take_the_pair_out_of_the_training_set(
    make: Make, annotators: list[User], decision: str
) -> None:
    review = answer_of(make(), annotators[0], Answer(decision))
    assert PreferencePair.objects.get(pk=review.task.pair_id).state == "excluded"
    rows = list(work.preference_rows(review.task.pair.iteration.run_id, 1, mix_previous=False))  # type: ignore[union-attr]
    assert review.task.pair_id not in [source["pair_id"] for _, source in rows]


def test_the_preferred_response_is_turned_into_confirm_or_flip(make: Make, annotators: list[User]) -> None:
    queue = make()
    first = take(queue, annotators[0])
    assert reviews.submit(first, Answer(preferred=first.task.first_id)).review.decision == "confirm"
    second = take(queue, annotators[0])
    assert reviews.submit(second, Answer(preferred=second.task.second_id)).review.decision == "flip"
    third = take(queue, annotators[0])
    with pytest.raises(Refused, match="not of this item"):
        reviews.submit(third, Answer(preferred=first.task.first_id))


def test_an_edit_becomes_a_response_of_a_person_and_the_chosen_one(make: Make, annotators: list[User]) -> None:
    review = answer_of(make(), annotators[0], Answer("edit", text="Snake plant, every 3 weeks."))
    pair = PreferencePair.objects.get(pk=review.task.pair_id)
    assert (pair.chosen.text, pair.chosen.source, pair.chosen.author) == ("Snake plant, every 3 weeks.", "human", "ana")
    assert (pair.rejected_id, pair.state, pair.chosen_score) == (review.task.second_id, "overridden", None)


def test_a_flag_changes_nothing_and_waits_for_a_lead(make: Make, annotators: list[User], lead: User) -> None:
    review = answer_of(make(), annotators[0], Answer("flag", reason="rude"))
    task = Task.objects.get(pk=review.task_id)
    assert task.flagged
    assert task.pair is not None
    assert task.pair.state == "proposed"
    reviews.adjudicate(task, Answer("tie"), by=lead)
    task.refresh_from_db()
    assert not task.flagged
    assert PreferencePair.objects.get(pk=task.pair_id).state == "excluded"


def test_taking_back_brings_the_pair_back_and_keeps_the_line(make: Make, annotators: list[User]) -> None:
    queue = make()
    review = answer_of(queue, annotators[0], Answer("flip", reason="hasty"))
    assignment = reviews.undo(queue, annotators[0])
    pair = PreferencePair.objects.get(pk=review.task.pair_id)
    assert sides(pair) == (review.task.first_id, review.task.second_id, "proposed")
    assert (pair.margin, pair.reason) == (3.0, "Highest against lowest.")
    assert list(Review.objects.values_list("decision", "in_force")) == [("flip", False), ("undo", False)]
    assert assignment is not None
    assert (assignment.state, assignment.draft) == ("leased", {"preferred": review.task.second_id, "reason": "hasty"})
    assert take(queue, annotators[0]).task_id == review.task_id
    assert Queue.objects.get(pk=queue.pk).done_count == 0


def test_a_second_answer_replaces_the_person_s_own_and_both_stay_in_the_history(
    make: Make, annotators: list[User]
) -> None:
    assignment = take(make(), annotators[0])
    reviews.submit(assignment, Answer("flip"))
    reviews.submit(assignment, Answer("tie"))
    assert list(Review.objects.values_list("decision", "in_force")) == [("flip", False), ("tie", True)]
    assert PreferencePair.objects.get(pk=assignment.task.pair_id).state == "excluded"
    assert Queue.objects.get(pk=assignment.queue_id).done_count == 1


def test_nothing_is_left_to_take_back(make: Make, annotators: list[User]) -> None:
    with pytest.raises(Refused) as refusal:
        reviews.undo(make(), annotators[0])
    assert refusal.value.code == "nothing-to-undo"


def test_only_a_lead_takes_back_what_somebody_else_answered(make: Make, annotators: list[User], lead: User) -> None:
    review = answer_of(make(), annotators[0], Answer("flip"))
    with pytest.raises(Refused, match="Only a lead"):
        reviews.take_back(review, by=annotators[1])
    reviews.take_back(review, by=lead)
    assert PreferencePair.objects.get(pk=review.task.pair_id).state == "proposed"


def test_with_several_people_nothing_counts_before_all_have_answered_and_then_the_majority(
    make: Make, annotators: list[User]
) -> None:
    queue = make(overlap=3)
    for number, (person, decision) in enumerate(zip(annotators, ("flip", "confirm", "flip"), strict=True)):
        review = answer_of(queue, person, Answer(decision))
        pair = PreferencePair.objects.get(pk=review.task.pair_id)
        assert pair.state == ("overridden" if number == 2 else "proposed")
    task = Task.objects.get(pk=review.task_id)
    assert task.settled_by == "2 of 3 people"
    assert task.agreement == pytest.approx(1 / 3)


def test_without_a_majority_the_pair_stays_and_a_lead_s_word_wins(
    make: Make, annotators: list[User], lead: User
) -> None:
    queue = make(overlap=3)
    for person, decision in zip(annotators, ("flip", "confirm", "tie"), strict=True):
        review = answer_of(queue, person, Answer(decision))
    task = Task.objects.get(pk=review.task_id)
    assert (task.settled_by, PreferencePair.objects.get(pk=task.pair_id).state) == ("", "proposed")
    saved = reviews.adjudicate(task, Answer("flip", reason="wrong plant"), by=lead)
    assert PreferencePair.objects.get(pk=task.pair_id).state == "overridden"
    reviews.take_back(saved.review, by=lead)
    assert PreferencePair.objects.get(pk=task.pair_id).state == "proposed"


def test_a_late_answer_kept_aside_can_be_adopted_by_a_lead(make: Make, annotators: list[User], lead: User) -> None:
    from tests.labeling.test_leases import expire

    queue = make()
    mine = take(queue, annotators[0])
    expire(mine)
    reviews.submit(take(queue, annotators[1]), Answer("confirm"))
    with pytest.raises(Refused):
        reviews.submit(mine, Answer("flip", reason="read it twice"))
    late = Review.objects.get(late=True)
    reviews.adopt(late, by=lead)
    pair = PreferencePair.objects.get(pk=mine.task.pair_id)
    assert pair.state == "overridden"
    assert "late answer of ana" in pair.reason


# ---------------------------------------------------------------- scores


def score_task(queue: Queue, prompt: int, index: int) -> Task:
    return Task.objects.get(queue=queue, prompt__position=prompt, first__index=index)


def score(queue: Queue, person: User, prompt: int, index: int, value: float, reason: str = "because") -> Review:
    task = score_task(queue, prompt, index)
    assert leases.take_place(task.pk)
    with_lease = leases._lease(task.pk, queue, person, task.queue.created_at)
    return reviews.submit(with_lease, Answer(score=value, reason=reason)).review


def test_a_person_s_score_is_the_score_in_force_and_remakes_the_pair(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    queue = make("score")
    review = score(queue, annotators[0], 0, 0, 5.0)
    judgement = Judgement.objects.get(response=review.task.first_id, source="human")
    assert (judgement.score, judgement.rationale, judgement.judge, judgement.person) == (
        5.0, "because", "ana", annotators[0],
    )  # fmt: skip
    pair = PreferencePair.objects.get(iteration=iteration, prompt__position=0)
    # The judge had candidate 1 (4.0) over candidate 0 (1.0); now 0 (5.0) is over 2 (2.0).
    assert (pair.chosen.index, pair.rejected.index, pair.state, pair.margin) == (0, 2, "overridden", 3.0)


def test_a_score_makes_a_pair_appear_and_another_makes_it_drop(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    queue = make("score")
    assert not PreferencePair.objects.filter(iteration=iteration, prompt__position=2).exists()
    review = score(queue, annotators[0], 2, 3, 4.0)
    pair = PreferencePair.objects.get(iteration=iteration, prompt__position=2)
    assert (pair.chosen.index, pair.origin, pair.state) == (3, "human", "overridden")
    reviews.take_back(review, by=annotators[0])
    assert not PreferencePair.objects.filter(iteration=iteration, prompt__position=2).exists()
    assert not Judgement.objects.filter(source="human").exists()


def test_a_score_that_changes_no_order_leaves_the_pair_proposed(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    score(make("score"), annotators[0], 0, 1, 5.0)
    pair = PreferencePair.objects.get(iteration=iteration, prompt__position=0)
    assert (pair.state, pair.chosen.index, pair.chosen_score, pair.margin) == ("proposed", 1, 5.0, 4.0)


def test_a_decision_on_the_pair_itself_wins_over_scores(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    decided = answer_of(make(), annotators[0], Answer("confirm")).task
    score(make("score"), annotators[1], decided.prompt.position, 0, 5.0)
    assert sides(PreferencePair.objects.get(pk=decided.pair_id)) == (decided.first_id, decided.second_id, "confirmed")


def test_taking_a_decision_on_the_pair_back_lets_the_scores_say_what_the_pair_is(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    decided = answer_of(make(), annotators[0], Answer("confirm"))
    task = decided.task
    score(make("score"), annotators[1], task.prompt.position, 0, 5.0)
    reviews.take_back(decided, by=annotators[0])
    pair = PreferencePair.objects.get(pk=task.pair_id)
    assert (pair.chosen.index, pair.rejected.index, pair.state) == (0, 2, "overridden")


def test_several_scores_of_one_response_count_by_their_median(make: Make, annotators: list[User]) -> None:
    queue = make("score", overlap=3, half_points=True)
    for person, value in zip(annotators, (0.5, 4.0, 3.5), strict=True):
        score(queue, person, 0, 0, value)
    judgement = Judgement.objects.get(source="human")
    assert judgement.score == 3.5
    assert "median of 3 people" in judgement.judge


def test_scores_outside_the_scale_or_between_its_steps_are_refused(make: Make, annotators: list[User]) -> None:
    assignment = take(make("score"), annotators[0])
    for value in (-1.0, 5.5, 2.5, None, float("nan")):
        with pytest.raises(Refused) as refusal:
            reviews.submit(assignment, Answer(score=value))
        assert refusal.value.status == 400


def test_a_held_out_queue_measures_judges_and_changes_nothing(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    before = [sides(pair) for pair in PreferencePair.objects.all()]
    answer_of(make(held_out=True), annotators[0], Answer("flip"))
    score(make("score", held_out=True), annotators[0], 0, 0, 5.0)
    assert [sides(pair) for pair in PreferencePair.objects.all()] == before
    assert not Judgement.objects.filter(source="human").exists()


# ---------------------------------------------------------------- preview, freeze, gate


@pytest.mark.parametrize("decision", ["confirm", "flip", "tie", "both_bad"])
def test_the_training_set_becomes_what_the_preview_promised(
    make: Make, annotators: list[User], iteration: Iteration, decision: str
) -> None:
    assignment = take(make(), annotators[0])
    promised = preview(assignment.task, decision)
    saved = reviews.submit(assignment, Answer(decision))
    assert saved.change is not None
    assert (promised.kind, promised.sentence) == (saved.change.kind, saved.change.sentence)
    assert promised.pairs_after == record.training_set(iteration).pairs


def test_the_preview_of_a_score_promises_the_pair_that_comes(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    queue = make("score")
    task = score_task(queue, 2, 3)
    promised = preview(task, "score", 4.0)
    assert (promised.kind, promised.pairs_now, promised.pairs_after, promised.margin) == ("appears", 3, 4, 2.0)
    score(queue, annotators[0], 2, 3, 4.0)
    assert record.training_set(iteration).pairs == 4


def test_after_the_freeze_the_trained_pair_keeps_its_responses_and_the_snapshot_says_it_is_stale(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    queue = make()
    snapshot = freeze(iteration)
    review = answer_of(queue, annotators[0], Answer("flip"))
    trained = PreferencePair.objects.get(pk=review.task.pair_id)
    assert sides(trained) == (review.task.first_id, review.task.second_id, "excluded")
    stand_in = PreferencePair.objects.get(iteration=iteration, chosen=review.task.second_id)
    assert sides(stand_in) == (review.task.second_id, review.task.first_id, "overridden")
    snapshot.refresh_from_db()
    assert "1 of its pairs would be left out now, and 1 would come in" in snapshot.stale_reason
    reviews.undo(queue, annotators[0])
    snapshot.refresh_from_db()
    assert snapshot.stale_reason == ""
    trained.refresh_from_db()
    assert trained.state == "proposed"
    assert not PreferencePair.objects.filter(pk=stand_in.pk).exists()


def test_the_run_trains_when_so_many_are_reviewed_and_not_before(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    queue = make(gate="count", gate_count=2)
    answer_of(queue, annotators[0], Answer("confirm"))
    assert Run.objects.get(pk=iteration.run_id).status == "waiting"
    review_counts_due.send(Stage)
    stage = Stage.objects.get(iteration=iteration, kind="review")
    assert (stage.status, stage.done) == ("waiting", 1)
    told = RunEvent.objects.filter(run=iteration.run_id, kind="stage")
    assert told.latest("seq").payload["done"] == 1
    before = told.count()
    review_counts_due.send(Stage)
    assert told.count() == before
    answer_of(queue, annotators[1], Answer("flip"))
    stage.refresh_from_db()
    assert (stage.status, stage.done, stage.reason) == ("done", 2, "Let through by the gate of pair queue.")
    assert Run.objects.get(pk=iteration.run_id).status == "queued"


def test_every_gate_of_an_iteration_must_be_met(make: Make, annotators: list[User], iteration: Iteration) -> None:
    quick = make(gate="share", gate_share=0.3)
    slow = make("score", gate="count", gate_count=1, name="slow")
    make("score", held_out=True)
    answer_of(quick, annotators[0], Answer("confirm"))
    assert Run.objects.get(pk=iteration.run_id).status == "waiting"
    quick.refresh_from_db()
    assert (gates.is_met(quick), gates.waited_for(quick), gates.waited_for(slow)) == (True, [slow], [])


# ---------------------------------------------------------------- blind, sides, gold, pace


def test_the_judge_is_shown_only_after_the_first_answer_of_a_blind_queue(make: Make, annotators: list[User]) -> None:
    assignment = take(make(), annotators[0])
    assert desk.item(assignment)["judge"] is None
    leases.reveal(assignment, {"decision": "flip"})
    shown = desk.item(assignment)["judge"]
    assert shown["chosen"] == assignment.task.first_id
    saved = reviews.submit(assignment, Answer("confirm"))
    assert (saved.review.first_answer, saved.review.decision) == ({"decision": "flip"}, "confirm")


def test_a_share_of_items_is_prefilled_so_that_anchoring_can_be_measured(make: Make, annotators: list[User]) -> None:
    assignment = take(make(prefill_share=1.0), annotators[0])
    assert desk.item(assignment)["judge"] is not None
    review = reviews.submit(assignment, Answer("confirm")).review
    assert (review.prefilled, review.blind) == (True, False)


def test_sides_differ_by_person_and_item_and_are_stored(
    make_waiting_run: Callable[..., Iteration], annotators: list[User], lead: User
) -> None:
    iteration = make_waiting_run(tuple((1.0, 4.0) for _ in range(30)), name="sides")
    queue = queues.make_queue(queues.NewQueue("sides", "pair", overlap=2), by=lead, iteration=iteration)
    for person in annotators[:2]:
        while (assignment := leases.next_task(queue, person)) is not None:
            first = desk.item(assignment)["items"][0]["id"]
            assert (first == assignment.task.second_id) is assignment.swapped
            reviews.submit(assignment, Answer("confirm"))
    rows = list(Review.objects.values_list("person", "task", "swapped"))
    assert 10 < sum(swapped for _, _, swapped in rows) < 50
    by_person = [{task: swapped for person, task, swapped in rows if person == who.pk} for who in annotators[:2]]
    assert by_person[0] != by_person[1]


def test_a_gold_item_measures_the_person_shows_nothing_of_it_and_changes_nothing(
    make: Make, annotators: list[User], lead: User
) -> None:
    queue = make()
    task = Task.objects.get(queue=queue, rank=0)
    queues.set_gold(task, {"decision": "flip"}, by=lead)
    gold = take(queue, annotators[0])
    assert gold.task_id == task.pk
    plain = reviews.submit(gold, Answer("confirm")).review
    assert plain.gold_right is False
    assert PreferencePair.objects.get(pk=task.pair_id).state == "proposed"
    other = take(queue, annotators[0])
    assert set(desk.item(gold)) == set(desk.item(other))


def test_an_answer_faster_than_the_queue_allows_is_marked(make: Make, annotators: list[User]) -> None:
    assignment = take(make(min_seconds=3600.0), annotators[0])
    leases.mark_shown(assignment)
    assert reviews.submit(assignment, Answer("confirm")).review.too_fast


def test_every_line_names_the_guidelines_it_was_given_under(make: Make, annotators: list[User], lead: User) -> None:
    queue = make(guidelines="Be kind.")
    first = answer_of(queue, annotators[0], Answer("confirm"))
    queues.write_guidelines(queue, "Be kind and exact.", by=lead)
    queues.write_guidelines(queue, "Be kind and exact.", by=lead)
    second = answer_of(queue, annotators[0], Answer("confirm"))
    assert [review.guideline.number for review in (first, second) if review.guideline] == [1, 2]
    assert Review.objects.get(pk=first.pk).guideline.text == "Be kind."  # type: ignore[union-attr]


def test_removing_a_run_removes_its_queues_and_everything_answered_in_them(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    from alignment_app.services import runs

    score(make("score"), annotators[0], 0, 0, 5.0)
    answer_of(make(), annotators[1], Answer("edit", text="better"))
    run = Run.objects.get(pk=iteration.run_id)
    runs.remove(runs.cancel(run))
    assert not Queue.objects.exists()
    assert not Review.objects.exists()
    assert not Assignment.objects.exists()
    assert not Response.objects.filter(source="human").exists()
