"""Run pages: list, detail, samples and actions."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from alignment_app.downloads import csv_file
from alignment_app.models import Iteration, Run, StepCheck
from alignment_app.pages import curve_charts, eft, health, loop, spending
from alignment_app.pages import runs as selectors
from alignment_app.pages.samples import COMPARISON_FILTERS, PROMPT_FILTERS
from alignment_app.selectors import choices, curves, metrics, samples
from alignment_app.selectors.runs import load
from alignment_app.services import people
from alignment_app.services import runs as services
from alignment_app.services.errors import Refused
from alignment_app.services.spending import set_budget
from alignment_app.views.access import requires
from training.plan import PROMPTS

only_leads = requires(people.can_launch, "Only leads and admins can change runs.")

VERBS: Final = {"pause": services.pause, "resume": services.resume, "cancel": services.cancel}
#: Parts of the run page that it fetches again when an event of their kind has come.
PARTS: Final = ("head", "loop", "sample", "figures", "choices", "costs", "health", "curves", "notes")


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List the runs, newest first. An htmx request gets only the table."""
    query, status, paradigm = (request.GET.get(name, "") for name in ("q", "status", "paradigm"))
    page = selectors.runs_page(query, status, paradigm, request.GET.get("page"))
    context = {
        "page": page,
        "seconds": 3 if any(row.run.status in Run.ACTIVE for row in page.object_list) else 10,
        "q": query,
        "status": status,
        "paradigm": paradigm,
        "statuses": selectors.STATUS_GROUPS,
        "paradigms": selectors.PARADIGMS,
        "filtered": bool(query.strip() or status or paradigm),
        "may_launch": people.can_launch(request.user),
    }
    is_part = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    return render(request, "runs/_table.html" if is_part else "runs/index.html", context)


def _run(run_id: int) -> Run:
    try:
        return load(run_id)
    except Run.DoesNotExist:
        raise Http404(f"Run {run_id} does not exist. It may have been removed.") from None


def _part_context(request: HttpRequest, run: Run, part: str) -> dict[str, Any]:
    """Return the template context of a page part."""
    if part == "head":
        return {
            "head": loop.head(run),
            "may_launch": people.can_launch(request.user),
            "config_text": run.stored_config.to_yaml(),
        }
    if part == "loop":
        return {"lines": loop.lines(run)}
    if part == "health":
        found = health.of_run(run)
        crossed = [(one.where, figure) for one in found for figure in one.alarms]
        return {"health": found, "alarms": crossed, "eft": eft.eft_of(run)}
    if part == "sample":
        return {"sample": samples.latest(run)}
    if part == "costs":
        return {"costs": spending.costs(run), "may_launch": people.can_launch(request.user)}
    if part == "choices":
        return {"choices": choices.choices(run)}
    return {"figures": loop.figures(run)}


@require_GET
def detail(request: HttpRequest, run_id: int) -> HttpResponse:
    """Show a run as of event ``last_seq``; the script follows later events."""
    run = _run(run_id)
    context: dict[str, Any] = {"run": run, "log": loop.log_lines(run), "machine_metrics": loop.machine_metrics(run)}
    for part in ("head", "loop", "sample", "figures", "choices", "costs", "health"):
        context |= _part_context(request, run, part)
    context["charts"] = curve_charts.charts()
    context["curves"] = [curve.as_json() for curve in curves.curves(run, up_to=run.last_seq)]
    response = render(request, "runs/run.html", context)
    response.headers["Cache-Control"] = "no-store"  # the back button shows the current state
    return response


@require_GET
def part(request: HttpRequest, run_id: int, part: str) -> HttpResponseBase:
    """Return one part of the page."""
    if part not in PARTS:
        raise Http404(f"Unknown part {part}.")
    if part == "curves":
        found = curves.curves(get_object_or_404(Run, pk=run_id))
        return JsonResponse({"curves": [curve.as_json() for curve in found]})
    if part == "notes":
        found = curves.curves(get_object_or_404(Run, pk=run_id))
        return JsonResponse({"curves": [curve.as_notes() for curve in found]})
    run = _run(run_id)
    return render(request, f"runs/_{part}.html", {"run": run, **_part_context(request, run, part)})


@require_GET
def run_samples(request: HttpRequest, run_id: int) -> HttpResponse:
    """Show the rows of a stage: prompts, comparisons or the training set."""
    run = _run(run_id)
    iteration = _iteration(run, request.GET.get("iteration", ""))
    stages = samples.stages_with_samples(iteration)
    wanted = request.GET.get("stage", "")
    stage = next((stage for stage in stages if stage.kind == wanted), stages[0] if stages else None)
    look = stage.spec.samples if stage else ""
    query, show, page = (request.GET.get(name, "") for name in ("q", "show", "page"))
    context: dict[str, Any] = {
        "run": run,
        "iteration": iteration,
        "iterations": [line for line in run.iterations.all() if samples.stages_with_samples(line)],
        "stages": stages,
        "kind": stage.kind if stage else "",
        "q": query,
        "show": show,
        "filters": {},
    }
    if look == "prompts":
        context |= {"look": "prompts", "filters": PROMPT_FILTERS}
        context["page"] = samples.prompts_page(iteration, query, show, page)
        if stage and stage.kind == PROMPTS.kind:
            removed = samples.removed_prompts(iteration)
            context |= {"removed": removed, "removed_count": sum(view.count for view in removed)}
    elif look == "snapshot":
        context |= {"look": "snapshot", "page": samples.snapshot_page(iteration, query, page)}
    elif look == "comparisons":
        comparisons = samples.comparisons_page(iteration, query, show, page)
        if comparisons.paginator.count or iteration.number:
            context |= {"look": "comparisons", "page": comparisons, "filters": COMPARISON_FILTERS}
        else:
            context |= {"look": "prompts", "page": samples.answers_page(iteration, query, page)}
    is_part = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    return render(request, "runs/_samples.html" if is_part else "runs/samples.html", context)


@require_GET
def step(request: HttpRequest, run_id: int, number: int, step: int) -> HttpResponse:
    """Show the comparisons behind an early-stopping decision: both answers, verdicts in both orders."""
    checks = StepCheck.objects.select_related("iteration__run")
    check = get_object_or_404(
        checks, iteration__run=run_id, iteration__number=number, step=step, against_step__isnull=False
    )
    outcome = request.GET.get("outcome", "")
    context = {
        "run": check.iteration.run,
        "iteration": check.iteration,
        "check": check,
        "page": choices.step_comparisons(check, outcome, request.GET.get("page")),
        "outcome": outcome,
        "outcomes": (("win", "Won"), ("tie", "Tied"), ("lose", "Lost"), ("unparsed", "Unparsed")),
    }
    return render(request, "runs/step.html", context)


def _iteration(run: Run, wanted: str) -> Iteration:
    """Return the requested iteration, else the newest that has started."""
    iterations = list(run.iterations.all())
    for iteration in iterations:
        if str(iteration.number) == wanted:
            return iteration
    begun = [iteration for iteration in iterations if iteration.started_at]
    return begun[-1] if begun else iterations[0]


@require_POST
@only_leads
def act(request: HttpRequest, run_id: int, verb: str) -> HttpResponse:
    """Pause, resume, cancel or remove a run, set its budget, or approve its reviewed pairs."""
    run = get_object_or_404(Run, pk=run_id)
    refusal = ""
    try:
        if verb in VERBS:
            VERBS[verb](run, user=request.user)
        elif verb == "approve":
            wanted = request.POST.get("iteration", "")
            iteration = next((one for one in run.iterations.all() if str(one.number) == wanted), None)
            if iteration is None:
                raise Http404("Unknown iteration.")
            services.approve_review(iteration, user=request.user)
        elif verb == "budget":
            set_budget(run, **_budget(request), user=request.user)
            messages.success(request, "Budget set.")
            if request.POST.get("resume"):
                services.resume(run, user=request.user)
        elif verb == "remove":
            services.remove(run, user=request.user)
            messages.success(request, f"{run.name} removed.")
            return _go(request, "runs")
        else:
            raise Http404(f"Unknown action {verb}.")
    except Refused as problem:
        refusal = problem.message
    if request.headers.get("HX-Request"):
        run = _run(run_id)
        context = {"run": run, "refusal": refusal, **_part_context(request, run, "head")}
        return render(request, "runs/_head.html", context)
    if refusal:
        messages.error(request, refusal)
    return redirect("run", run_id)


def _budget(request: HttpRequest) -> dict[str, Any]:
    """Parse the budget of a form; an empty field is ``None``. Raises :class:`Refused` for invalid numbers."""
    given = {name: request.POST.get(name, "").replace(",", "").replace(" ", "") for name in ("tokens", "usd")}
    try:
        tokens = int(given["tokens"]) if given["tokens"] else None
        usd = float(given["usd"]) if given["usd"] else None
    except ValueError:
        raise Refused("no-number", "The budget must be a number, such as 200000 or 2.50.", status=400) from None
    return {"tokens": tokens, "usd": usd}


def _go(request: HttpRequest, name: str) -> HttpResponse:
    """Redirect, for form and htmx requests."""
    response = redirect(name)
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": response.url})
    return response


@require_GET
def metrics_csv(request: HttpRequest, run_id: int) -> HttpResponse:
    """Return all training steps of the run as a CSV file."""
    run = get_object_or_404(Run, pk=run_id)
    return csv_file(metrics.as_csv(run.pk), f"run-{run.pk}-metrics.csv")


@require_GET
def config_yaml(request: HttpRequest, run_id: int) -> HttpResponse:
    """Return the run's config as a YAML file."""
    run = get_object_or_404(Run, pk=run_id)
    text = run.stored_config.to_yaml()
    headers = {"Content-Disposition": f'attachment; filename="run-{run.pk}.yaml"'}
    return HttpResponse(text, content_type="application/yaml; charset=utf-8", headers=headers)
