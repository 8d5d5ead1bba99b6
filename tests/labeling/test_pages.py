"""The review pages, and the sanitizing of texts with scripts."""

from __future__ import annotations

import time
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from alignment_app.models import Dataset, Iteration, Prompt, Response, Run
from labeling.models import Queue, Review, Task
from labeling.pages.markdown import safe_html
from labeling.selectors.corrections import Corrections, count, scores_of
from labeling.services import corrections, queues, reviews
from labeling.services.answers import Answer
from tests.support.review import answer_of, score, take
from training.domain.judging import parse_score, rationale

pytestmark = pytest.mark.django_db
Make = Callable[..., Queue]


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](https://elsewhere.example/pixel.png)",
    "<style>*{display:none}</style><b style='position:fixed'>x</b>",
    "<iframe src='https://elsewhere.example'></iframe><form action='https://elsewhere.example'><button>x</button></form>",
    "[data](data:text/html;base64,PHNjcmlwdD4=)",
    "<svg><a xlink:href='javascript:alert(1)'>x</a></svg>",
    "```html\n<script>alert(1)</script>\n```",
    r"$\text{<img src=x onerror=alert(1)>}$ $\href{javascript:alert(1)}{x}$ $\style{position:fixed}{x}$",
)


class _Tags(HTMLParser):
    """Collect the tags and attributes of an HTML fragment."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("text", HOSTILE)
def test_model_text_is_sanitized(text: str) -> None:
    for tag, attributes in _Tags(safe_html(text)).found:
        assert tag in {"p", "pre", "code", "a", "strong", "span", "math", "mrow", "mtext", "mi"}
        assert set(attributes) <= {"href", "rel", "class", "display"}
        assert (attributes.get("class") or "hl-").startswith("hl-")
        assert (attributes.get("href") or "https:").startswith(("https:", "http:", "mailto:"))


def test_code_is_highlighted_and_formulas_become_mathml() -> None:
    assert '<span class="hl-k">def</span>' in safe_html("```python\ndef f(): ...\n```")
    assert "<mfrac>" in safe_html(r"Half is $$\frac{1}{2}$$ and \(x_1\) too.")
    assert "<msub>" in safe_html(r"Half is $$\frac{1}{2}$$ and \(x_1\) too.")
    assert safe_html("It costs $5 or $10.") == "<p>It costs $5 or $10.</p>\n"
    assert r"$}{\frac$" in safe_html(r"$}{\frac$")


@pytest.mark.parametrize(
    "text",
    [
        "$" * 60_000,
        "$" + "{" * 900 + "$",
        "[" * 20_000,
        "```bash\n" + "$(" * 4900 + "\n```",
        "> " * 5000,
        "*a " * 20_000,
    ],
)
def test_adversarial_text_is_rendered_within_seconds(text: str) -> None:
    begun = time.monotonic()
    safe_html(text)
    assert time.monotonic() - begun < 10


def test_long_text_is_cut_with_a_notice() -> None:
    html = safe_html("word " * 100_000)
    assert len(html) < 80_000
    assert "more characters" in html


def test_the_desk_has_no_inline_script_or_style(make: Make, annotators: list[User], lead: User) -> None:
    queue = make(guidelines="<script>alert(1)</script> **Be fair.**")
    page = client_of(annotators[0]).get(reverse("review-desk", args=[queue.pk]))
    html = page.content.decode()
    assert "<strong>Be fair.</strong>" in html
    assert "<script>alert" not in html
    assert " style=" not in html
    assert "unsafe-inline" not in page.headers["Content-Security-Policy"]


def test_each_role_opens_only_its_pages(make: Make, annotators: list[User], lead: User, viewer: User) -> None:
    queue = make()
    task = Task.objects.filter(queue=queue).first()
    assert task is not None
    own = (reverse("review"), reverse("review-desk", args=[queue.pk]))
    led = (
        reverse("review-new"),
        reverse("review-queue", args=[queue.pk]),
        reverse("review-guidelines", args=[queue.pk]),
        reverse("review-items", args=[queue.pk]),
        reverse("review-task", args=[task.pk]),
    )
    for address in own:
        assert client_of(annotators[0]).get(address).status_code == 200, address
        assert client_of(viewer).get(address).status_code == 403, address
    for address in led:
        assert client_of(lead).get(address).status_code == 200, address
        assert client_of(annotators[0]).get(address).status_code == 403, address


def test_a_lead_creates_a_queue_with_the_form(iteration: Iteration, lead: User) -> None:
    client = client_of(lead)
    fields = {
        "source": f"iteration:{iteration.pk}", "name": "By hand", "kind": "pair", "order": "impact", "overlap": 2,
        "lease_minutes": 5, "blind": "on", "prefill_percent": 10, "gate": "share", "gate_percent": 50,
    }  # fmt: skip
    page = client.post(reverse("review-new"), fields)
    queue = Queue.objects.get()
    assert page.headers["Location"] == reverse("review-queue", args=[queue.pk])
    assert (queue.overlap, queue.lease_seconds, queue.prefill_share, queue.gate_share) == (2, 300, 0.1, 0.5)
    assert queue.task_count == 3
    refused = client.post(reverse("review-new"), fields | {"source": "iteration:999999"})
    assert refused.status_code == 400
    assert "Choose where the items come from" in refused.content.decode()


def test_the_badge_counts_the_items_that_wait_for_the_user(make: Make, annotators: list[User]) -> None:
    queue = make()
    page = client_of(annotators[0]).get(reverse("review")).content.decode()
    assert f'title="Items to review">{queue.task_count}</span>' in page


def test_an_annotator_s_navigation_has_only_the_review(make: Make, annotators: list[User]) -> None:
    page = client_of(annotators[0]).get(reverse("review")).content.decode()
    assert reverse("checkpoints") not in page
    assert reverse("review") in page


def test_a_lead_adjudicates_an_item_on_its_page(make: Make, annotators: list[User], lead: User) -> None:
    queue = make(overlap=2)
    for person, decision in zip(annotators[:2], ("flip", "confirm"), strict=True):
        review = answer_of(queue, person, Answer(decision, reason=f"says {person.username}"))
    client = client_of(lead)
    listed = client.get(reverse("review-items", args=[queue.pk]) + "?show=undecided").content.decode()
    assert reverse("review-task", args=[review.task_id]) in listed
    page = client.get(reverse("review-task", args=[review.task_id])).content.decode()
    assert "says ana" in page
    assert "ana," not in client.get(reverse("review-task", args=[review.task_id]) + "?names=hidden").content.decode()
    client.post(reverse("review-decide", args=[review.task_id]), {"decision": "flip", "reason": "ana is right"})
    task = Task.objects.get(pk=review.task_id)
    assert (task.settled_by, task.pair.state) == ("adjudicated by lena", "overridden")  # type: ignore[union-attr]
    word = Review.objects.get(adjudication=True)
    client.post(reverse("review-line", args=[word.pk, "undo"]))
    assert Task.objects.get(pk=review.task_id).settled_by == ""


def test_the_queue_page_shows_agreement_of_several_people(make: Make, annotators: list[User], lead: User) -> None:
    pairs, scores = make(overlap=3), make("score", overlap=3)
    for person in annotators:
        for _ in range(3):
            reviews.submit(take(pairs, person), Answer("flip" if person.username == "cleo" else "confirm"))
        for index, value in enumerate((1.0, 4.0, 2.0, 3.0)):
            score(scores, person, 0, index, value)
    page = client_of(lead).get(reverse("review-queue", args=[pairs.pk])).content.decode()
    assert "Krippendorff" in page
    assert "0.33" in page
    page = client_of(lead).get(reverse("review-queue", args=[scores.pk])).content.decode()
    assert "Judge–human agreement" in page
    assert "1.00" in page


# ---------------------------------------------------------------- corrections as training rows


def test_a_score_with_a_reason_becomes_a_demonstration(make: Make, annotators: list[User], lead: User) -> None:
    queue = make("score", half_points=True)
    review = score(queue, annotators[0], 0, 0, 3.5, "Names one plant only.")
    score(queue, annotators[0], 0, 1, 4.0, "")
    assert count(scores_of(queue)) == Corrections(1, 1, 0)
    dataset, rows = corrections.export(queue, "corrections", by=lead)
    assert (dataset.kind, rows) == (Dataset.Kind.DEMONSTRATIONS, 1)
    prompt = Prompt.objects.get(dataset=dataset)
    assert review.task.first.text in prompt.text
    assert "additive 5-point" in prompt.text
    target = Response.objects.get(prompt=prompt, purpose="target").text
    assert (parse_score(target), rationale(target)) == (3.5, "Names one plant only.")


def test_prompts_that_measure_judges_give_no_demonstrations(make: Make, annotators: list[User], lead: User) -> None:
    queue = make("score")
    score(queue, annotators[0], 0, 0, 3.0)
    make("score", held_out=True, limit=1)
    assert count(scores_of(queue)) == Corrections(0, 0, 1)
    page = client_of(lead).post(reverse("review-act", args=[queue.pk, "corrections"]), {"name": "none"}, follow=True)
    assert "No score with a reason is in force" in page.content.decode()
    assert not Dataset.objects.filter(name="none").exists()


def test_a_queue_of_imported_pairs_keeps_excluded_ones_out_of_later_runs(annotators: list[User], lead: User) -> None:
    from alignment_app.selectors import work
    from alignment_app.services.imports import import_rows

    import_rows("pairs", "preferences", [{"prompt": f"p{n}", "chosen": "good", "rejected": "bad"} for n in range(3)])
    dataset = Dataset.objects.get(name="pairs")
    queue = queues.make_queue(queues.NewQueue("imported", "pair"), by=lead, dataset=dataset)
    run = Run.objects.create(name="later", config={}, config_hash="", paradigm="self_reward")
    later = Iteration.objects.create(run=run, number=1)
    assert len(work.imported_pairs(later, dataset, 10, 1)) == 3
    answer_of(queue, annotators[0], Answer("tie"))
    assert len(work.imported_pairs(later, dataset, 10, 1)) == 2
