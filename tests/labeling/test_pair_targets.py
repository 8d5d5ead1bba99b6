"""Several queues on one pair: which decision counts, in any order, before and after the freeze.

The expected rule, implemented independently here: a lead's adjudication counts first, then the newest decision, then
people's scores, then the original pair.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from django.contrib.auth.models import User
from django.db import connections

from alignment_app.models import DatasetSnapshot, Iteration, Judgement, PreferencePair, Response, SnapshotItem
from alignment_app.selectors import work
from labeling.models import Queue, Review, Task
from labeling.pages import items
from labeling.pages.preview import preview
from labeling.selectors import pairing
from labeling.services import leases, queues, rerun, reviews
from labeling.services.answers import Answer
from tests.support.people import person

pytestmark = pytest.mark.django_db

#: The judge's scores of the one prompt's candidates: it chose the second over the first.
GIVEN = (1.0, 4.0, 2.0, 3.0)
Sides = tuple[str, str]


@dataclass
class Story:
    """One prompt with its pair, the queues on it, and the reviews in force as the rule needs them."""

    iteration: Iteration
    lead: User
    queues: list[Queue] = field(default_factory=list)
    #: By review id: whether it is an adjudication, and the texts (chosen, rejected); None: no pair.
    decisions: dict[int, tuple[bool, Sides | None]] = field(default_factory=dict)
    #: By review id: whether it is an adjudication, the index of the candidate, and its score.
    scores: dict[int, tuple[bool, int, float]] = field(default_factory=dict)
    frozen: DatasetSnapshot | None = None

    def texts(self) -> list[str]:
        found = Response.objects.filter(iteration=self.iteration, purpose="candidate").order_by("index")
        return [response.text for response in found]

    def add_queue(self, kind: str = "pair") -> Queue:
        new = queues.NewQueue(f"{kind} queue {len(self.queues) + 1}", kind, order="arrival", min_seconds=0.0)
        self.queues.append(queues.make_queue(new, by=self.lead, iteration=self.iteration))
        return self.queues[-1]

    def freeze(self) -> None:
        rows = list(work.preference_rows(self.iteration.run_id, 1, mix_previous=False))
        self.frozen = DatasetSnapshot.objects.create(
            iteration=self.iteration, kind="preference", content_hash="0" * 64, path="x.jsonl", row_count=len(rows)
        )
        for position, (_, traced) in enumerate(rows):
            SnapshotItem.objects.create(snapshot=self.frozen, position=position, **traced)
        self.trained = self.in_snapshot()

    def in_snapshot(self) -> set[Sides]:
        pairs = SnapshotItem.objects.filter(snapshot=self.frozen)
        return set(pairs.values_list("pair__chosen__text", "pair__rejected__text"))

    def answer(self, task: Task, decision: str, *, text: str = "", by_lead: bool = False) -> Review:
        """Decide as a new person, and check that the preview matches the saved change."""
        task = Task.objects.select_related("queue", "prompt", "pair__iteration__run").get(pk=task.pk)
        answer = Answer(decision, text=text)
        if by_lead:
            saved = reviews.adjudicate(task, answer, by=self.lead)
        else:
            who = person("annotator", f"person {User.objects.count()}")
            assert leases.take_slot(task.pk)
            promised = preview(task, decision)
            saved = reviews.submit(leases._lease(task.pk, task.queue, who, task.queue.created_at), answer)
            assert saved.change is not None
            assert (promised.kind, promised.sentence) == (saved.change.kind, saved.change.sentence)
            assert promised.pairs_after == pairing.training_set(self.iteration).pairs
        first, second = task.first.text, task.second.text if task.second else ""
        made = {"confirm": (first, second), "flip": (second, first), "edit": (text, second)}
        self.decisions[saved.review.pk] = (by_lead, made.get(decision))
        return saved.review

    def score(self, task: Task, score: float) -> Review:
        task = Task.objects.select_related("queue", "prompt", "first").get(pk=task.pk)
        who = person("annotator", f"person {User.objects.count()}")
        assert leases.take_slot(task.pk)
        promised = preview(task, "score", score)
        saved = reviews.submit(leases._lease(task.pk, task.queue, who, task.queue.created_at), Answer(score=score))
        assert saved.change is not None
        assert (promised.kind, promised.sentence) == (saved.change.kind, saved.change.sentence)
        assert promised.pairs_after == pairing.training_set(self.iteration).pairs
        self.scores[saved.review.pk] = (False, task.first.index, score)
        return saved.review

    def take_back(self, line: int) -> None:
        reviews.take_back(Review.objects.get(pk=line), by=self.lead)
        self.decisions.pop(line, None)
        self.scores.pop(line, None)

    def expected(self) -> Sides | None:
        """The expected pair by the rule."""
        if self.decisions:
            return self.decisions[max(self.decisions, key=lambda line: (self.decisions[line][0], line))][1]
        scores = list(GIVEN)
        for line in sorted(self.scores):
            _, index, score = self.scores[line]
            scores[index] = score
        texts = self.texts()
        if max(scores) == min(scores):
            return None
        return texts[scores.index(max(scores))], texts[scores.index(min(scores))]

    def check(self) -> None:
        expected = self.expected()
        rows = [
            (row["chosen"][0]["content"], row["rejected"][0]["content"])
            for row, _ in work.preference_rows(self.iteration.run_id, 1, mix_previous=False)
        ]
        assert rows == ([expected] if expected else [])
        assert pairing.training_set(self.iteration).pairs == len(rows)
        assert Review.objects.filter(pk__in=[*self.decisions, *self.scores], in_force=True).count() == (
            len(self.decisions) + len(self.scores)
        )
        for queue in self.queues:
            assert queue.tasks.count() == Queue.objects.get(pk=queue.pk).task_count
        if self.frozen is None:
            return
        assert self.in_snapshot() == self.trained
        self.frozen.refresh_from_db()
        removed, added = len(self.trained - set(rows)), len(set(rows) - self.trained)
        counts = re.findall(
            r"(\d+) of its pairs would be left out now, and (\d+) would come in", self.frozen.stale_reason
        )
        assert counts == ([(str(removed), str(added))] if removed or added else [])
        assert bool(rerun.planned(self.iteration)) == bool(removed or added)


@pytest.fixture
def story(make_waiting_run: Callable[..., Iteration], lead: User) -> Story:
    return Story(make_waiting_run((GIVEN,), name="several"), lead)


def item_of(queue: Queue) -> Task:
    return queue.tasks.get()


@pytest.mark.parametrize("freeze_at", [0, 1, 2, 9])
@pytest.mark.parametrize(
    ("one", "other"), [("flip", "confirm"), ("tie", "flip"), ("flip", "flip"), ("edit", "confirm")]
)
@pytest.mark.parametrize("undone", [0, 1])
def test_two_queues_on_one_pair_in_either_order_with_either_answer_taken_back(
    story: Story, freeze_at: int, one: str, other: str, undone: int
) -> None:
    asked = [item_of(story.add_queue()), item_of(story.add_queue())]
    lines = []
    for step, (item, decision) in enumerate([(asked[0], one), (asked[1], other)]):
        if freeze_at == step:
            story.freeze()
        lines.append(story.answer(item, decision, text="A better one." if decision == "edit" else ""))
        story.check()
    if freeze_at == 2:
        story.freeze()
    story.take_back(lines[undone].pk)
    story.check()
    story.take_back(lines[1 - undone].pk)
    story.check()
    assert PreferencePair.objects.get(iteration=story.iteration, state="proposed").reason == "Highest against lowest."


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("other", ["confirm", "flip", "tie"])
def test_a_queue_on_a_replacement_keeps_its_items_when_the_first_decision_is_taken_back(
    story: Story, frozen: bool, other: str
) -> None:
    first = item_of(story.add_queue())
    if frozen:
        story.freeze()
    flipped = story.answer(first, "flip")
    later = item_of(story.add_queue())
    assert later.first_id == first.second_id
    answered = story.answer(later, other)
    story.check()
    story.take_back(flipped.pk)
    story.check()
    assert Review.objects.filter(pk=answered.pk).exists()
    story.take_back(answered.pk)
    story.check()


@pytest.mark.parametrize("seed", range(24))
def test_random_actions_keep_rule_previews_rows_and_stale_mark_consistent(story: Story, seed: int) -> None:
    drawn = random.Random(seed)
    story.add_queue()
    for _ in range(16):
        open_items = list(
            Task.objects.filter(queue__in=story.queues, queue__kind="pair", free__gt=0, state="open").order_by("pk")
        )
        to_score = list(
            Task.objects.filter(queue__in=story.queues, queue__kind="score", free__gt=0, state="open").order_by("pk")
        )
        trainable = PreferencePair.objects.filter(iteration=story.iteration, state__in=PreferencePair.TRAINABLE)
        acts = ["score queue"]
        acts += ["queue"] * (2 if trainable.exists() and len(story.queues) < 5 else 0)
        acts += ["answer"] * (6 if open_items else 0)
        acts += ["score"] * (2 if to_score else 0)
        acts += ["lead"] if story.decisions else []
        acts += ["take back"] * (3 if story.decisions or story.scores else 0)
        acts += ["freeze"] * (2 if story.frozen is None else 0)
        match drawn.choice(acts):
            case "queue":
                story.add_queue()
            case "score queue":
                if not any(queue.kind == "score" for queue in story.queues):
                    story.add_queue("score")
            case "answer":
                decision = drawn.choice(["confirm", "flip", "tie", "both_bad", "edit"])
                text = drawn.choice(["A better one.", "Another."]) if decision == "edit" else ""
                story.answer(drawn.choice(open_items), decision, text=text)
            case "score":
                story.score(drawn.choice(to_score), float(drawn.randint(0, 5)))
            case "lead":
                asked = Task.objects.filter(queue__in=story.queues, queue__kind="pair").order_by("pk")
                item = drawn.choice(list(asked))
                word = story.answer(item, drawn.choice(["confirm", "flip", "tie"]), by_lead=True)
                replaced = Review.objects.filter(task=item, adjudication=True, in_force=False)
                for line in replaced.exclude(pk=word.pk).values_list("pk", flat=True):
                    story.decisions.pop(line, None)
            case "take back":
                story.take_back(drawn.choice(sorted([*story.decisions, *story.scores])))
            case "freeze":
                story.freeze()
        story.check()


def test_the_preview_and_the_history_name_the_queue_whose_decision_is_replaced(story: Story) -> None:
    first, second = item_of(story.add_queue()), item_of(story.add_queue())
    story.answer(first, "flip")
    line = story.answer(second, "confirm")
    line.refresh_from_db()
    assert "queue “pair queue 1”" in line.change
    shown = [(word.item.queue.name, word.said, word.counts) for word in items.answers_elsewhere(first)]
    assert shown == [("pair queue 1", "Second response", False), ("pair queue 2", "First response", True)]
    story.answer(first, "tie", by_lead=True)
    story.check()
    assert [state for _, state in items.items_page(story.queues[0], "", None).lines] == ["excluded"]
    story.freeze()
    flipped = story.answer(first, "flip", by_lead=True)
    story.decisions = {line: word for line, word in story.decisions.items() if line == flipped.pk or not word[0]}
    story.check()
    assert [state for _, state in items.items_page(story.queues[0], "", None).lines] == ["overridden"]
    story.answer(first, "tie", by_lead=True)
    reviews.take_back(line, by=story.lead)
    promised = preview(Task.objects.select_related("queue").get(pk=second.pk), "flip")
    assert "queue “pair queue 1”" in promised.sentence
    assert promised.kind == "same"


def test_a_person_s_scores_in_two_queues_are_taken_back_one_by_one(story: Story, annotators: list[User]) -> None:
    given = []
    for value in (5.0, 2.0):
        item = story.add_queue("score").tasks.get(first__index=0)
        assert leases.take_slot(item.pk)
        lent = leases._lease(item.pk, item.queue, annotators[0], item.queue.created_at)
        given.append(reviews.submit(lent, Answer(score=value, reason=f"{value} points")).review)
    people = Judgement.objects.filter(source="human")
    assert [row.score for row in people.all()] == [2.0]
    reviews.take_back(given[1], by=annotators[0])
    assert [(row.score, row.rationale) for row in people.all()] == [(5.0, "5.0 points")]
    reviews.take_back(given[0], by=annotators[0])
    assert not people.exists()


def test_items_on_a_pair_made_by_scores_stay_when_the_score_is_taken_back(
    make_waiting_run: Callable[..., Iteration], lead: User
) -> None:
    story = Story(make_waiting_run(((2.0, 2.0, 2.0, 2.0),), name="appears"), lead)
    scored = story.add_queue("score")
    line = story.score(scored.tasks.get(first__index=3), 4.0)
    item = item_of(story.add_queue())
    reviews.take_back(line, by=lead)
    assert Task.objects.filter(pk=item.pk).exists()
    assert pairing.training_set(story.iteration).pairs == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("frozen", [False, True])
def test_concurrent_decisions_in_several_queues_leave_the_newest_one_in_force(
    make_waiting_run: Callable[..., Iteration], lead: User, frozen: bool
) -> None:
    pairs, decisions = 6, ("flip", "confirm", "tie", "flip")
    iteration = make_waiting_run(tuple((1.0, 4.0) for _ in range(pairs)), name="at once")
    story = Story(iteration, lead)
    made = [story.add_queue() for _ in decisions]
    if frozen:
        story.freeze()
    crew = [person("annotator", f"racer {number}") for number in range(len(decisions))]
    barrier = threading.Barrier(len(crew))
    problems: list[BaseException] = []

    def work(place: int) -> None:
        try:
            for _ in range(pairs):
                barrier.wait(timeout=60)
                assignment = leases.next_task(made[place], crew[place])
                assert assignment is not None
                reviews.submit(assignment, Answer(decisions[place]))
        except BaseException as problem:
            problems.append(problem)
            barrier.abort()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(crew))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    standing: dict[int, set[Sides]] = {}
    for line in Review.objects.order_by("pk").select_related("task__first", "task__second"):
        first, second = line.task.first.text, line.task.second.text  # type: ignore[union-attr]
        says = {"confirm": {(first, second)}, "flip": {(second, first)}, "tie": set()}
        standing[line.task.prompt_id] = says[line.decision]
    trainable = PreferencePair.objects.filter(iteration=iteration, state__in=PreferencePair.TRAINABLE)
    assert sorted(trainable.values_list("chosen__text", "rejected__text")) == sorted(set().union(*standing.values()))
