"""Comparison of runs or checkpoints."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from alignment_app.pages import compare as selectors


@require_GET
def compare(request: HttpRequest) -> HttpResponse:
    """Show the selection, metrics, different settings and answers to shared prompts."""
    query, show = request.GET.get("q", ""), request.GET.get("show", "")
    runs, checkpoints = request.GET.getlist("run"), request.GET.getlist("checkpoint")
    chosen = selectors.columns(selectors.numbers(runs), selectors.numbers(checkpoints))
    context = {
        "chosen": chosen,
        "unknown": selectors.unknown(runs[:20], checkpoints[:20]),
        "query": query,
        "show": show,
        "chosen_runs": {column.checkpoint.run_id for column in chosen if column.stands_for_run},
        "chosen_checkpoints": {column.checkpoint.pk for column in chosen if not column.stands_for_run},
        "choices": selectors.choices(query),
        "most": selectors.MOST_COLUMNS,
    }
    if len(chosen) > 1:
        page, tally = selectors.prompts_page(chosen, show, request.GET.get("page"))
        context |= {
            "metrics": selectors.metric_rows(chosen),
            "evaluators": selectors.evaluators(chosen),
            "settings": selectors.setting_rows(chosen),
            "same_run": len({column.checkpoint.run_id for column in chosen}) == 1,
            "page": page,
            "tally": tally,
        }
    return render(request, "compare/compare.html", context)
