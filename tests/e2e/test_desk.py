"""The desk in a real browser: by keyboard alone, two people at once, cut connections, small screens, hostile text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import ITEMS, ready

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from labeling.models import Queue

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


def test_a_queue_of_thirty_is_answered_by_keyboard_alone_by_two_people_at_once(
    make: Callable[..., Queue], open_desk: Callable[..., Page], crew: list[User]
) -> None:
    from labeling.models import Review

    queue = make()
    desks = [open_desk(queue, who) for who in crew[1:]]
    tasks = [ready(page) for page in desks]
    keys = ["a", "b", "t", "x"]
    for turn in range(2 * ITEMS):
        place = turn % 2
        page, task = desks[place], tasks[place]
        if not task:
            continue
        page.keyboard.press(keys[turn % 4])
        page.keyboard.press("Enter")
        tasks[place] = ready(page, not_task=task)
    for page in desks:
        expect(page.locator("#done")).to_be_visible()
    expect(desks[1].locator("#done-text")).to_have_text("Every item of this queue is answered.")
    desks[1].keyboard.press("z")
    back = ready(desks[1])
    expect(desks[1].locator("#item")).to_be_visible()
    desks[1].keyboard.press("Enter")
    ready(desks[1], not_task=back)
    expect(desks[1].locator("#done")).to_be_visible()
    queue.refresh_from_db()
    assert queue.done_count == ITEMS
    rows = list(Review.objects.filter(in_force=True).values_list("task", "author"))
    assert len({task for task, _ in rows}) == len(rows) == ITEMS
    assert {author for _, author in rows} == {"ana", "ben"}


def test_a_draft_survives_a_cut_connection_and_a_reload(
    make: Callable[..., Queue], open_desk: Callable[..., Page], crew: list[User]
) -> None:
    from labeling.models import Assignment

    page = open_desk(make(items=3), crew[1])
    task = ready(page)
    sides = page.locator(".pane .rendered").all_inner_texts()
    page.keyboard.press("a")
    page.keyboard.press("r")
    page.keyboard.type("Snake plants want ")
    expect(page.locator("#draft-state")).to_have_text("Draft saved")
    page.context.set_offline(True)
    page.keyboard.type("little water")
    expect(page.locator("#draft-state")).to_contain_text("kept on this device")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(page.locator("#trouble")).to_contain_text("Press Enter")
    page.context.set_offline(False)
    page.reload()
    assert ready(page) == task
    assert page.locator(".pane .rendered").all_inner_texts() == sides
    expect(page.locator("#reason")).to_have_value("Snake plants want little water")
    expect(page.locator("#choose-0")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Enter")
    ready(page, not_task=task)
    review = Assignment.objects.get(task=task).task.reviews.get()
    assert review.reason == "Snake plants want little water"


def test_the_judge_and_the_change_appear_after_the_first_answer_and_undo_brings_the_item_back(
    make: Callable[..., Queue], open_desk: Callable[..., Page], crew: list[User]
) -> None:
    page = open_desk(make(items=3), crew[1])
    task = ready(page)
    expect(page.locator("#judge")).to_be_hidden()
    page.keyboard.press("a")
    expect(page.locator("#change-sentence")).to_contain_text("The pair")
    expect(page.locator("#judge")).to_be_visible()
    page.keyboard.press("Enter")
    after = ready(page, not_task=task)
    expect(page.locator("#judge")).to_be_hidden()
    expect(page.locator("#progress")).to_contain_text("1 of 3")
    page.keyboard.press("z")
    assert ready(page, not_task=after) == task
    expect(page.locator("#progress")).to_contain_text("0 of 3")


def test_no_key_acts_while_an_answer_is_being_saved(
    make: Callable[..., Queue], open_desk: Callable[..., Page], crew: list[User]
) -> None:
    from labeling.models import Review

    page = open_desk(make(items=3), crew[1])
    task = ready(page)
    held: list[object] = []
    page.route("**/submit", lambda route: held.append(route))
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    page.wait_for_function("document.getElementById('desk').dataset.busy === '1'")
    for key in ("b", "t", "s", "z", "Enter", "!"):
        page.keyboard.press(key)
    assert len(held) == 1
    held[0].continue_()  # type: ignore[attr-defined]
    page.unroute("**/submit")
    ready(page, not_task=task)
    assert list(Review.objects.values_list("task", flat=True)) == [int(task)]


def test_scores_by_digit_with_half_points_and_the_keys_shown_by_a_question_mark(
    make: Callable[..., Queue], open_desk: Callable[..., Page], crew: list[User]
) -> None:
    from labeling.models import Review

    page = open_desk(make("score", items=2, half_points=True), crew[1])
    task = ready(page)
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("4")
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("Give a score first")
    page.keyboard.press("3")
    page.keyboard.press(".")
    page.keyboard.press("r")
    page.keyboard.type("names one plant")
    page.keyboard.press("Control+Enter")
    ready(page, not_task=task)
    review = Review.objects.get()
    assert (review.score, review.reason, review.task_id) == (3.5, "names one plant", int(task))


def test_a_queue_of_thirty_is_answered_by_one_person_by_keyboard_alone(
    make: Callable[..., Queue], open_desk: Callable[..., Page], crew: list[User]
) -> None:
    from labeling.models import Review

    queue = make()
    page = open_desk(queue, crew[1])
    task = ready(page)
    for turn in range(ITEMS):
        page.keyboard.press("abtx"[turn % 4])
        page.keyboard.press("Enter")
        task = ready(page, not_task=task)
    expect(page.locator("#done")).to_be_visible()
    expect(page.locator("#progress")).to_contain_text(f"{ITEMS} in a row")
    assert Review.objects.filter(in_force=True).count() == ITEMS


def test_two_digits_score_both_responses_and_choose_the_higher_one(
    make: Callable[..., Queue], open_desk: Callable[..., Page], crew: list[User]
) -> None:
    from labeling.models import Review

    page = open_desk(make(items=2, with_scores=True, half_points=True), crew[1])
    task = ready(page)
    page.keyboard.press("1")
    expect(page.locator("#choose-0")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("3")
    expect(page.locator("#choose-1")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press(".")
    page.keyboard.press("w")
    page.keyboard.type("names two plants")
    page.reload()
    assert ready(page) == task
    expect(page.locator("[data-side='1'][data-score='3']")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#why-1")).to_have_value("names two plants")
    page.keyboard.press("Enter")
    ready(page, not_task=task)
    review = Review.objects.get()
    left, right = ("second", "first") if review.swapped else ("first", "second")
    assert review.scores == {left: 1.0, right: 3.5}
    assert review.reasons == {left: "", right: "names two plants"}
    assert review.decision == ("confirm" if review.swapped else "flip")


def test_an_edit_starts_from_the_better_response_and_becomes_a_person_s(
    make: Callable[..., Queue], open_desk: Callable[..., Page], crew: list[User]
) -> None:
    from labeling.models import Review

    page = open_desk(make(items=2), crew[1])
    task = ready(page)
    page.keyboard.press("e")
    expect(page.locator("#toasts")).to_contain_text("Choose the better response first")
    page.keyboard.press("b")
    page.keyboard.press("e")
    expect(page.locator("#edit")).to_be_focused()
    page.keyboard.press("Control+End")
    page.keyboard.type(" In shade.")
    page.keyboard.press("Control+Enter")
    ready(page, not_task=task)
    review = Review.objects.get()
    assert review.decision == "edit"
    assert review.text.endswith(" In shade.")
    assert review.edited is not None
    assert review.edited.source == "human"


def test_after_a_reason_the_next_key_is_for_the_next_item_and_arrows_scroll_long_responses(
    make: Callable[..., Queue], open_desk: Callable[..., Page], crew: list[User]
) -> None:
    from alignment_app.models import Response
    from labeling.models import Review

    queue = make(items=2)
    Response.objects.update(text="A long sentence of a long response. " * 200)
    page = open_desk(queue, crew[1])
    task = ready(page)
    expect(page.locator(".top .badge")).to_have_text("2")
    page.keyboard.press("b")
    page.keyboard.press("r")
    page.keyboard.type("shorter")
    page.keyboard.press("Control+Enter")
    ready(page, not_task=task)
    expect(page.locator(".top .badge")).to_have_text("1")
    page.keyboard.press("ArrowDown")
    for side in (0, 1):
        assert page.locator(f"#response-{side}").evaluate("pane => pane.scrollTop") > 0
    page.keyboard.press("t")
    expect(page.locator("[data-decision='tie']")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#reason")).to_have_value("")
    assert Review.objects.get().reason == "shorter"


def test_differences_are_marked_on_demand(
    make: Callable[..., Queue], open_desk: Callable[..., Page], crew: list[User]
) -> None:
    page = open_desk(make(items=2), crew[1])
    ready(page)
    expect(page.locator("mark")).to_have_count(0)
    page.keyboard.press("d")
    expect(page.locator("#pane-0 mark").first).to_be_visible()
    page.keyboard.press("d")
    expect(page.locator("mark")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["pair", "score"])
def test_the_desk_fits_a_phone_in_both_themes(
    make: Callable[..., Queue], open_desk: Callable[..., Page], crew: list[User], theme: str, kind: str
) -> None:
    page = open_desk(make(kind, items=2), crew[1], width=390, theme=theme)
    ready(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.locator("#save")).to_be_in_viewport()


def test_text_with_scripts_styles_links_and_other_directions_only_shows(
    make: Callable[..., Queue], open_desk: Callable[..., Page], crew: list[User]
) -> None:
    from alignment_app.models import Judgement, Prompt, Response

    hostile = (
        "<script>window.hit=1</script><img src=x onerror='window.hit=1'><style>body{display:none}</style>"
        "[a](javascript:window.hit=1) ![b](https://elsewhere.invalid/x.png) <svg onload='window.hit=1'>\n\n"
        "```\n<script>window.hit=1</script>\n```\n\n\u202eمرحبا " + "W" * 3000
    )
    queue = make(items=2, guidelines=hostile)
    Prompt.objects.update(text=hostile)
    Response.objects.update(text=hostile)
    Judgement.objects.update(rationale=hostile)
    page = open_desk(queue, crew[1], width=390)
    ready(page)
    page.keyboard.press("a")
    expect(page.locator("#judge")).to_be_visible()
    page.keyboard.press("d")
    page.keyboard.press("g")
    expect(page.locator("#guidelines")).to_be_visible()
    assert page.evaluate("window.hit") is None
    assert (
        page.locator("#desk script:not([type='application/json']), #desk img, #desk style, #desk svg[onload]").count()
        == 0
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("a[href^='javascript']").count() == 0


def test_earlier_turns_are_shown_with_their_roles_and_the_keys_answer_as_ever(
    make: Callable[..., Queue], open_desk: Callable[..., Page], crew: list[User]
) -> None:
    from alignment_app.models import Prompt

    queue = make(items=2)
    short = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Name **a bird**."}]
    for long, prompt in enumerate(Prompt.objects.order_by("pk")):
        told = {"role": "assistant", "content": "The ostrich. " * (200 if long else 1)}
        prompt.messages = [*short, told, *prompt.messages]
        prompt.save()
    page = open_desk(queue, crew[1])
    task = ready(page)
    folded = []
    for _ in range(2):
        expect(page.locator("#earlier")).to_be_visible()
        expect(page.locator("#earlier-count")).to_have_text("3 earlier turns")
        folded.append(page.locator("#earlier").get_attribute("open") is None)
        assert page.locator("#earlier-turns b").all_text_contents() == ["System", "User", "Assistant"]
        page.keyboard.press("a")
        page.keyboard.press("Enter")
        task = ready(page, not_task=task)
    assert sorted(folded) == [False, True]
    expect(page.locator("#done")).to_be_visible()
