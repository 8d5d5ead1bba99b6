"""Launch pages: choose a recipe, change it, see the estimate, launch."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from alignment_app.forms import LaunchForm
from alignment_app.models import Run
from alignment_app.pages import launching
from alignment_app.selectors import judges
from alignment_app.services import leakage, people, runs
from alignment_app.services.configs import MAX_YAML, build_config
from alignment_app.services.errors import Refused
from alignment_app.views.access import requires
from training.config import ConfigError, RunConfig, preset_data, preset_names, with_overrides
from training.domain.judges import JUDGE_KINDS

only_leads = requires(people.can_launch, "Only leads and admins can launch runs.")


@only_leads
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Show the recipes, or the form of ``?preset=`` or ``?clone=`` with ``&set=field=value``. A POST launches."""
    if request.method == "POST":
        return _read_yaml(request) if "import" in request.POST else _launch(request)
    preset, clone = request.GET.get("preset", ""), request.GET.get("clone", "")
    if clone:
        run = get_object_or_404(Run, pk=clone if clone.isdecimal() and len(clone) < 12 else 0)
        data = {**run.typed_config.to_dict(), "name": f"{run.name[:110]}, again"}
        try:
            data = with_overrides(data, request.GET.getlist("set"))
            if run.stored_config.is_valid:  # else the form shows what is wrong on its fields
                data = RunConfig.parse(data).to_dict()
        except ConfigError as error:
            return _start_page(request, str(error), status=400)
        return _form_page(request, LaunchForm.from_data(data, *_here()), run.preset, run)
    if preset and preset in preset_names():
        config = RunConfig.parse(preset_data(preset))
        return _form_page(request, LaunchForm.from_data(config.to_dict(), *_here()), preset)
    problem = f"Unknown recipe {preset}." if preset else ""
    return _start_page(request, problem)


def _here() -> tuple[list[launching.DatasetChoice], dict[str, list[tuple[str, str]]]]:
    """Return the data sets and judges that a form can name."""
    return launching.dataset_choices(), {kind: judges.choices(kind) for kind in JUDGE_KINDS}


def _start_page(
    request: HttpRequest, problem: str = "", typed: str = "", errors: Any = (), status: int = 200
) -> HttpResponse:
    context = {"groups": launching.preset_groups(), "problem": problem, "typed": typed, "errors": errors}
    return render(request, "launch/start.html", context, status=status)


def _form_page(
    request: HttpRequest,
    form: LaunchForm,
    preset: str,
    clone: Run | None = None,
    status: int = 200,
    refusal: str = "",
) -> HttpResponse:
    context = {"form": form, "preset": preset, "clone": clone, "refusal": refusal, "is_sent": status != 200}
    context["miniature_missing"] = launching.lacks_miniature(preset)
    return render(request, "launch/form.html", context | _side(form, preset), status=status)


def _side(form: LaunchForm, preset: str) -> dict[str, Any]:
    """What stands beside the form: problems, the estimate, the YAML and the equal command.

    Puts every problem and warning on its field.
    """
    try:
        config = build_config(data=form.data())
    except ConfigError as error:
        form.add_problems(error.problems)
        return {"config": None, "problems": error.problems}
    problems: list[tuple[str, str]] = []
    try:
        runs.check_names(config)
    except ConfigError as error:
        problems = error.problems
        form.add_problems(problems)
    found = leakage.of_config(config)
    form.add_warnings(launching.warnings_of(config, form.datasets, found))
    return {
        "config": config,
        "problems": problems,
        "estimate": launching.estimate_of(config, form.datasets),
        "leakage": found,
        "leaks": any(one.found is not None and one.found.contained for one in found),
        "is_comparing": any(one.found is None for one in found),
        "yaml": config.to_yaml(),
        "command": launching.command_of(config, preset),
    }


def _sent(request: HttpRequest) -> tuple[LaunchForm, str, Run | None]:
    """Return the submitted form, its preset and the cloned run."""
    form = LaunchForm.from_post(request.POST, *_here())
    preset = request.POST.get("preset", "")
    clone = request.POST.get("clone", "")
    run = Run.objects.filter(pk=clone).first() if clone.isdecimal() and len(clone) < 12 else None
    return form, preset if preset in preset_names() else "", run


@only_leads
@require_POST
def check(request: HttpRequest) -> HttpResponse:
    """Check the form while it is edited: estimate, command, YAML and the messages of each field."""
    form, preset, _ = _sent(request)
    context = _side(form, preset)
    context["fields"] = {
        item.path: {
            "id": item.id,
            "shown": item.is_shown,
            "problems": item.problems,
            "warnings": item.warnings,
        }
        for item in form.fields
    }
    return render(request, "launch/_side.html", {"form": form, "preset": preset, **context})


def _launch(request: HttpRequest) -> HttpResponse:
    form, preset, clone = _sent(request)
    try:
        config = build_config(data=form.data())
        run = runs.launch(config, user=request.user, preset=preset, cloned_from=clone)
    except ConfigError:
        return _form_page(request, form, preset, clone, status=422)  # rendering adds the errors to the fields
    except Refused as refusal:
        return _form_page(request, form, preset, clone, status=refusal.status, refusal=refusal.message)
    return redirect("run", run.pk)


def _read_yaml(request: HttpRequest) -> HttpResponse:
    """Show the form filled from a YAML document, or the document with its errors."""
    upload = request.FILES.get("file")
    text = request.POST.get("yaml", "")
    if upload is not None:
        if (upload.size or 0) > 4 * MAX_YAML:
            return _start_page(request, typed=text, errors=[("", "the file is too large for a config")], status=422)
        try:
            text = upload.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            return _start_page(request, typed=text, errors=[("", "the file is not UTF-8 text")], status=422)
    try:
        config = build_config(yaml=text)
    except ConfigError as error:
        return _start_page(request, typed=text, errors=error.problems, status=422)
    return _form_page(request, LaunchForm.from_data(config.to_dict(), *_here()), preset="")
