"""Judge–human agreement of a run."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from alignment_app.models import Run
from alignment_app.services import runs
from alignment_app.services.errors import Refused
from labeling.pages import judge_charts
from labeling.selectors import calibration
from labeling.selectors import corrections as correction_selectors
from labeling.services.access import can_lead
from labeling.views.access import for_leads, person_of


@require_GET
def of_run(request: HttpRequest, run_id: int) -> HttpResponse:
    """Show each judge's agreement with people's blind scores."""
    run = get_object_or_404(Run, pk=run_id)
    run_judges = calibration.judges_of_run(run)
    config = run.typed_config
    context = {
        "run": run,
        "found": run_judges,
        "table": judge_charts.table(run_judges.judges if run_judges else []),
        "panels": judge_charts.panels(run_judges.judges) if run_judges else [],
        "curves": judge_charts.curves(run_judges.judges) if run_judges else [],
        "corrections": correction_selectors.count(correction_selectors.scores_for(config), config),
        "newest": run.checkpoints.order_by("-number").first(),
        "may_lead": can_lead(request.user),
        "waiting": None if run_judges else calibration.waiting_for_scores(run),
        "newest_round": run.iterations.filter(number__gte=1, responses__isnull=False).order_by("-number").first(),
    }
    return render(request, "labeling/judges.html", context)


@for_leads
@require_POST
def measure(request: HttpRequest, run_id: int) -> HttpResponse:
    """Start the judges on responses that people scored after the evaluation."""
    run = get_object_or_404(Run, pk=run_id)
    try:
        runs.measure_again(run, user=person_of(request))
        messages.success(request, "The judges have started. Reload the page in a moment.")
    except Refused as refusal:
        messages.error(request, refusal.message)
    return redirect("review-judges", run_id)
