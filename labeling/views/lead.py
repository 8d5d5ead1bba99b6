"""Pages for leads: create queues, write guidelines, check agreement, adjudicate, start training."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from alignment_app.models import Iteration
from alignment_app.pages.runs import training_name
from alignment_app.services import runs
from alignment_app.services.errors import Refused
from labeling.forms import QueueForm, annotators, sources
from labeling.models import Queue, Review, Task
from labeling.pages import items as item_selectors
from labeling.pages import judge_charts
from labeling.pages import queues as queue_pages
from labeling.pages.markdown import safe_html
from labeling.pages.over_time import trend
from labeling.selectors import calibration, over_time, quality
from labeling.selectors import corrections as correction_selectors
from labeling.services import corrections, gates, rerun, reviews
from labeling.services import queues as services
from labeling.services.answers import COMPARISON_DECISIONS, PAIR_DECISIONS, Answer
from labeling.views.access import for_leads, person_of


def _queue(pk: int) -> Queue:
    return get_object_or_404(Queue.objects.select_related("iteration__run", "evaluation__checkpoint", "dataset"), pk=pk)


@for_leads
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Create a queue."""
    initial = {name: request.GET[name] for name in ("source", "kind", "held_out") if name in request.GET}
    form = QueueForm(request.POST or None, initial=initial)
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid() and (source := form.source_rows()):
            try:
                queue = services.make_queue(form.new_queue(), by=person_of(request), **source)
                messages.success(request, f"{queue.name} holds {queue.task_count} items.")
                return redirect("review-queue", queue.pk)
            except Refused as refusal:
                form.add_error(None, refusal.message)
                status = refusal.status
    choices = sources()
    context = {"form": form, "sources": choices, "any_source": any(rows for _, rows in choices), "people": annotators()}
    return render(request, "labeling/new.html", context, status=status)


@for_leads
@require_GET
def queue(request: HttpRequest, pk: int) -> HttpResponse:
    """Show progress, agreement, people and judges of a queue."""
    labeling_queue = _queue(pk)
    judges = quality.judges(labeling_queue)
    days = over_time.over_time(labeling_queue)
    context = {
        "queue": labeling_queue,
        "source": queue_pages.source_of(labeling_queue),
        "needed": gates.needed(labeling_queue),
        "is_met": gates.is_met(labeling_queue),
        "waited_for": gates.waited_for(labeling_queue),
        "is_awaited": queue_pages.is_awaited(labeling_queue),
        "waits": item_selectors.adjudication_counts(labeling_queue),
        "agreement": quality.agreement(labeling_queue),
        "people": [(row, days.agreement.get(row.name)) for row in quality.people(labeling_queue)],
        "over_time": days,
        "trend": trend(days.days),
        "anchoring": quality.anchoring(labeling_queue),
        "judges": judges,
        "table": judge_charts.table(judges),
        "curves": judge_charts.curves(judges),
        "held_runs": calibration.runs_measured_by(labeling_queue),
        "comparison": quality.comparison(labeling_queue),
        "corrections": correction_selectors.count(correction_selectors.scores_of(labeling_queue))
        if (labeling_queue.kind == Queue.Kind.SCORE or labeling_queue.with_scores) and not labeling_queue.held_out
        else None,
        "is_stale": queue_pages.is_stale(labeling_queue),
        "guidelines": labeling_queue.guidelines.first(),
        "on_it": labeling_queue.people.all(),
    }
    return render(request, "labeling/queue.html", context)


@for_leads
@require_http_methods(["GET", "POST"])
def guidelines(request: HttpRequest, pk: int) -> HttpResponse:
    """Show all versions of the guidelines; POST stores a new one."""
    labeling_queue = _queue(pk)
    if request.method == "POST":
        version = services.write_guidelines(
            labeling_queue, request.POST.get("text", "")[:100_000], by=person_of(request)
        )
        messages.success(request, f"Annotators now see version {version.number}.")
        return redirect("review-guidelines", pk)
    versions = list(labeling_queue.guidelines.select_related("created_by"))
    asked = request.GET.get("version", "")
    shown = next((version for version in versions if str(version.number) == asked), versions[0] if versions else None)
    context = {
        "queue": labeling_queue,
        "versions": versions,
        "shown": shown,
        "html": safe_html(shown.text) if shown else "",
    }
    return render(request, "labeling/guidelines.html", context)


@for_leads
@require_POST
def act(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """Open or close the queue, start training, or make a data set of scores or pairs."""
    labeling_queue, person = _queue(pk), person_of(request)
    try:
        if verb in ("open", "close"):
            services.set_open(labeling_queue, verb == "open", by=person)
            messages.success(request, f"The queue is {'open' if verb == 'open' else 'closed'}.")
        elif verb == "train":
            if labeling_queue.iteration is None:
                raise Refused("no-run", "No run waits for this queue.")
            runs.approve_review(labeling_queue.iteration, user=person)
            messages.success(request, "The run continues with training.")
        elif verb == "corrections":
            dataset, count = corrections.export(labeling_queue, request.POST.get("name", ""), by=person)
            messages.success(
                request, f"{dataset.name} holds {count} rows. Choose it among a run's fine-tuning data sets."
            )
        elif verb == "pairs" and labeling_queue.iteration:
            dataset, count = corrections.export_pairs(labeling_queue.iteration, request.POST.get("name", ""), by=person)
            messages.success(
                request, f"{dataset.name} holds {count} pairs. Clone the run and set pairs.from_dataset to it."
            )
        else:
            raise Http404(f"Unknown action {verb}.")
    except (Refused, ValueError) as problem:
        messages.error(request, str(problem))
    return redirect("review-queue", pk)


@for_leads
@require_GET
def items(request: HttpRequest, pk: int) -> HttpResponse:
    """List the items of a queue."""
    labeling_queue, show = _queue(pk), request.GET.get("show", "")
    context = {
        "queue": labeling_queue,
        "page": item_selectors.items_page(
            labeling_queue,
            show,
            request.GET.get("page"),
            after=request.GET.get("after"),
            before=request.GET.get("before"),
        ),
        "show": show,
        "filters": item_selectors.FILTERS,
    }
    return render(request, "labeling/items.html", context)


@for_leads
@require_http_methods(["GET", "POST"])
def again(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the run that would train on the current pairs; POST launches it."""
    iteration = get_object_or_404(Iteration.objects.select_related("run", "input_checkpoint"), pk=pk)
    refusal = None
    if request.method == "POST":
        try:
            run = rerun.start(iteration, by=person_of(request))
            messages.success(request, "Launched a run on the current pairs.")
            return redirect("run", run.pk)
        except Refused as problem:
            refusal = problem
    training = training_name(iteration.run.typed_config.training)
    context = {"iteration": iteration, "planned": rerun.planned(iteration), "training": training, "refusal": refusal}
    return render(request, "labeling/again.html", context, status=refusal.status if refusal else 200)


def _task(pk: int) -> Task:
    return get_object_or_404(
        Task.objects.select_related("queue__iteration__run", "prompt", "first", "second", "pair__iteration__run"),
        pk=pk,
    )


@for_leads
@require_GET
def task(request: HttpRequest, pk: int) -> HttpResponse:
    """Show an item with all answers and reasons, and the form to adjudicate it."""
    item = _task(pk)
    context: dict[str, Any] = {
        "task": item,
        "queue": item.queue,
        "prompt": safe_html(item.prompt.text),
        "earlier": [(turn["role"], safe_html(turn["content"])) for turn in item.prompt.earlier],
        "sides": [(response, safe_html(response.text)) for response in (item.first, item.second) if response],
        "history": item_selectors.history(item),
        "elsewhere": item_selectors.answers_elsewhere(item),
        "names": request.GET.get("names") != "hidden",
        "decisions": _decisions(item.queue),
        "next": item_selectors.next_to_adjudicate(item.queue, item),
    }
    return render(request, "labeling/task.html", context)


def _decisions(queue: Queue) -> list[tuple[str, str, str]]:
    """Value, label and key of each decision that a lead can make."""
    labels = {
        "confirm": ("First response", "1"),
        "flip": ("Second response", "2"),
        "first": ("First response", "1"),
        "second": ("Second response", "2"),
        "tie": ("Tie", "t"),
        "both_bad": ("Both bad", "x"),
    }
    names = PAIR_DECISIONS if queue.kind == Queue.Kind.PAIR else COMPARISON_DECISIONS
    return [(name, *labels[name]) for name in names if name in labels]


@for_leads
@require_POST
def decide(request: HttpRequest, pk: int) -> HttpResponse:
    """Adjudicate an item, or make it gold or ordinary."""
    item, person = _task(pk), person_of(request)
    try:
        typed = request.POST.get("score", "")
        score = float(typed) if typed else None
        decision = request.POST.get("decision", "")
        if "gold" in request.POST:
            expected = {"score": score} if item.queue.kind == Queue.Kind.SCORE else {"decision": decision}
            services.set_gold(item, expected if request.POST["gold"] == "1" else None, by=person)
            messages.success(
                request, "The item is gold." if request.POST["gold"] == "1" else "The item is no longer gold."
            )
        else:
            answer = Answer(decision, None, score, reason=request.POST.get("reason", ""))
            saved = reviews.adjudicate(item, answer, by=person)
            messages.success(request, f"Decided. {saved.change.sentence if saved.change else ''}")
            after = item_selectors.next_to_adjudicate(item.queue, item)
            if after:
                return redirect("review-task", after.pk)
    except Refused as refusal:
        messages.error(request, refusal.message)
    except ValueError:
        messages.error(request, "The score is not a number. Give one from 0 to 5.")
    return redirect("review-task", pk)


@for_leads
@require_POST
def line(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """Take a review back, or adopt a late answer."""
    review = get_object_or_404(Review.objects.select_related("task__queue"), pk=pk)
    try:
        if verb == "undo":
            reviews.take_back(review, by=person_of(request))
            messages.success(request, "Taken back, with its effects.")
        elif verb == "adopt":
            reviews.adopt(review, by=person_of(request))
            messages.success(request, "The late answer counts as your decision.")
        else:
            raise Http404(f"Unknown action {verb}.")
    except Refused as refusal:
        messages.error(request, refusal.message)
    return redirect("review-task", review.task_id)
