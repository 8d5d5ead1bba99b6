"""axe-core on every page, in both themes and at both widths: nothing serious, nothing critical."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.support.browser import ready

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from pytest_django.live_server_helper import LiveServer

    from labeling.models import Queue

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

#: axe's levels below which a finding is a matter of taste.
GRAVE = ("serious", "critical")


def findings(page: Page) -> list[str]:
    """What axe calls serious or critical on this page, with the first place of each."""
    found: list[dict[str, Any]] = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{page.url}: {one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0]['failureSummary']}"
        for one in found
        if one["impact"] in GRAVE
    ]


@pytest.fixture
def world(make: Callable[..., Queue], crew: list[User]) -> dict[str, Queue]:
    """Queues of every kind with answers of several people, a disagreement, a frozen set that has gone stale."""
    from alignment_app.models import Iteration
    from labeling.services import leases, reviews
    from labeling.services.answers import Answer
    from tests.support.review import freeze

    pairs = make(items=4, overlap=2, name="Pairs of two people", with_scores=True)
    for place, person in enumerate(crew[1:]):
        for decision in ("confirm", "flip" if place else "confirm", "flag"):
            assignment = leases.next_task(pairs, person)
            assert assignment is not None
            reviews.submit(assignment, Answer(decision, reason="Because."))
    freeze(Iteration.objects.get(pk=pairs.iteration_id))
    last = leases.next_task(pairs, crew[1])
    assert last is not None
    reviews.adjudicate(last.task, Answer("both_bad"), by=crew[0])
    scores = make("score", items=3, half_points=True, name="Scores")
    answered = leases.next_task(scores, crew[1])
    assert answered is not None
    reviews.submit(answered, Answer(score=3.5, reason="Names one plant."))
    return {"pairs": pairs, "scores": scores, "desk": make(items=3, name="The desk", with_scores=True)}


def addresses(world: dict[str, Queue]) -> list[str]:
    """Every page that these rows fill."""
    from django.urls import reverse

    pairs, scores = world["pairs"], world["scores"]
    run = pairs.iteration.run_id  # type: ignore[union-attr]
    task = pairs.tasks.order_by("rank").first()
    assert task is not None
    names: list[tuple[str, list[Any]]] = [
        *((name, []) for name in ("runs", "launch", "checkpoints", "compare", "chat", "data", "data-import", "system")),
        *((name, []) for name in ("judges", "studies", "people", "password", "queues", "review", "review-new")),
        ("run", [run]),
        ("run-samples", [run]),
        ("review-queue", [pairs.pk]),
        ("review-queue", [scores.pk]),
        ("review-items", [pairs.pk]),
        ("review-guidelines", [pairs.pk]),
        ("review-again", [pairs.iteration_id]),
        ("review-task", [task.pk]),
    ]
    names += [("keys", []), ("judge", ["additive_5"])]
    extra = ["/runs/new/?preset=miniature-self-reward", "/studies/new/?preset=no", "/compare/?run=999"]
    return [reverse(name, args=arguments) for name, arguments in names] + extra


def stored_keys() -> None:
    """A key that works, one that does not, and one that nobody tried."""
    from django.contrib.auth.models import User

    from alignment_app.services import keys

    admin = User.objects.create_superuser("keeper")
    for name, passed in (("works", True), ("refused", False), ("untried", None)):
        key = keys.store(name, "gemini", "", f"a-key-that-{name}", by=admin)
        if passed is not None:
            keys.store_test_result(key.pk, passed, "The provider says so.")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_serious_on_any_page(
    world: dict[str, Queue],
    open_desk: Callable[..., Page],
    live_server: LiveServer,
    crew: list[User],
    width: int,
    theme: str,
) -> None:
    crew[0].is_staff = crew[0].is_superuser = True
    crew[0].save()
    stored_keys()
    page = open_desk("/review/", crew[0], width=width, theme=theme)
    grave: list[str] = []
    for address in addresses(world):
        answer = page.goto(live_server.url + address)
        assert answer is not None
        assert answer.status == 200, address
        grave += findings(page)
    assert not grave, "\n".join(grave)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_serious_at_the_desk_in_any_of_its_states(
    world: dict[str, Queue], open_desk: Callable[..., Page], crew: list[User], width: int, theme: str
) -> None:
    page = open_desk(world["desk"], crew[1], width=width, theme=theme)
    task = ready(page)
    grave = findings(page)
    page.keyboard.press("4")
    page.keyboard.press("1")
    expect(page.locator("#judge")).to_be_visible()
    page.keyboard.press("d")
    expect(page.locator("#pane-0 mark").first).to_be_visible()
    grave += findings(page)
    page.keyboard.press("g")
    expect(page.locator("#guidelines")).to_be_visible()
    grave += findings(page)
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    expect(page.locator("#edit")).to_be_focused()
    grave += findings(page)
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    ready(page, not_task=task)
    page.goto(page.url.replace(f"/review/{world['desk'].pk}/", f"/review/{world['scores'].pk}/"))
    ready(page)
    page.keyboard.press("3")
    expect(page.locator("#judge")).to_be_visible()
    grave += findings(page)
    assert not grave, "\n".join(grave)


def test_axe_finds_nothing_serious_on_the_login_page(page: Page, site: Any) -> None:
    page.goto(site.url)
    page.context.clear_cookies()
    page.goto(f"{site.url}/accounts/login/")
    assert not findings(page)
