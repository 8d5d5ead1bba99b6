"""Study pages: form with estimate, launch, results and plot."""

from __future__ import annotations

import csv
import io
from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from alignment_app import study_form
from alignment_app.models import Study
from alignment_app.pages import launching
from alignment_app.pages import studies as selectors
from alignment_app.services import people
from alignment_app.services import studies as services
from alignment_app.services.errors import Refused
from alignment_app.services.studies import Plan
from alignment_app.study_form import StudyForm
from alignment_app.views.access import requires
from training.config import ConfigError
from training.config.grid import SEED

only_leads = requires(people.can_launch, "Only leads and admins can launch studies.")

VERBS: Final = {"pause": services.pause, "resume": services.resume, "cancel": services.cancel}


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List the studies, newest first."""
    page = selectors.studies_page(request.GET.get("page"))
    return render(request, "studies/index.html", {"page": page, "may_launch": people.can_launch(request.user)})


@only_leads
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Show the form, filled from the query string. A POST launches the study."""
    if request.method == "GET":
        return _form_page(request, StudyForm.read(request.GET), is_new=True)
    form = StudyForm.read(request.POST)
    try:
        study = services.launch(_planned(form), user=request.user)
    except ConfigError as error:
        form.problems = error.problems
        return _form_page(request, form, status=422)
    return redirect("study", study.pk)


def _planned(form: StudyForm) -> Plan:
    """Return the study of the form. Raises :class:`ConfigError` with all errors."""
    try:
        plan = services.plan(form.asked())
    except ConfigError as error:
        raise ConfigError([*form.problems, *error.problems]) from None
    if form.problems:
        raise ConfigError(form.problems)
    return plan


def _form_page(request: HttpRequest, form: StudyForm, *, status: int = 200, is_new: bool = False) -> HttpResponse:
    context: dict[str, Any] = {"form": form, "presets": study_form.presets(), "runs": selectors.bases()}
    context |= _start(form) if is_new and not form.typed["field_1"] else _side(form)
    return render(request, "studies/form.html", context, status=status)


@only_leads
@require_POST
def check(request: HttpRequest) -> HttpResponse:
    """Check the form while it is edited."""
    form = StudyForm.read(request.POST)
    return render(request, "studies/_side.html", {"form": form, **_side(form)})


def _start(form: StudyForm) -> dict[str, Any]:
    """Of an empty form only what its address names and is not there."""
    try:
        if form.typed["start"]:
            services.start_of(form.asked())
    except ConfigError as error:
        return {"problems": error.problems}
    return {}


def _side(form: StudyForm) -> dict[str, Any]:
    """Return errors, or the runs with their total cost, command and YAML."""
    form.problems = []
    try:
        plan = _planned(form)
    except ConfigError as error:
        form.problems = error.problems
        return {"problems": error.problems}
    asked = form.asked() | {"vary": {axis.field: list(axis.values) for axis in plan.axes}}
    datasets = launching.dataset_choices()
    return {
        "plan": plan,
        "cost": selectors.cost_of([launching.estimate_of(point.config, datasets) for point in plan.points]),
        "seeds": next((len(axis.values) for axis in plan.axes if axis.field == SEED), 1),
        "idle": study_form.without_effect(plan.points, [axis.field for axis in plan.axes]),
        "measured_by": selectors.measured_by(plan.base),
        "repeats": selectors.repeats(plan.base),
        "command": study_form.command_of(asked),
        "yaml": study_form.yaml_of(asked),
    }


def _load(pk: int) -> Study:
    try:
        return selectors.load(pk)
    except Study.DoesNotExist:
        raise Http404(f"Study {pk} does not exist. It may have been removed.") from None


def _context(request: HttpRequest, study: Study) -> dict[str, Any]:
    shown = selectors.view(study)
    return {
        "study": study,
        "shown": shown,
        "plot": selectors.plot(shown),
        "may_launch": people.can_launch(request.user),
        "seconds": 4 if shown.is_active else 20,
    }


@require_GET
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a study with its plot and runs. An htmx request gets only the live part."""
    is_part = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    template = "studies/_live.html" if is_part else "studies/study.html"
    return render(request, template, _context(request, _load(pk)))


@require_GET
def outcomes_csv(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the results as a CSV file: one row per run, or with ``?average=seeds`` one per point."""
    text = io.StringIO()
    is_averaged = request.GET.get("average") == "seeds"
    rows = selectors.averaged_table if is_averaged else selectors.table
    csv.writer(text).writerows(rows(selectors.view(_load(pk))))
    name = f"study-{pk}-averaged" if is_averaged else f"study-{pk}"
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "no-store"}
    return HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8", headers=headers)


@require_POST
@only_leads
def act(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """Pause, resume or cancel all runs, or remove the study with its runs."""
    study = get_object_or_404(Study, pk=pk)
    try:
        if verb == "remove":
            services.remove(study, user=request.user)
            messages.success(request, f"{study.name} and its runs removed.")
            return redirect("studies")
        if verb not in VERBS:
            raise Http404(f"Unknown action {verb}.")
        VERBS[verb](study, user=request.user)
    except Refused as refusal:
        messages.error(request, refusal.message)
    return redirect("study", pk)
