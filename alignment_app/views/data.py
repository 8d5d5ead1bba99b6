"""Data set pages: list, rows, import and export."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from alignment_app.downloads import Download
from alignment_app.export_formats import DEFAULT_FORMAT
from alignment_app.models import Dataset, Export
from alignment_app.pages.datasets import counts_in_words
from alignment_app.selectors import datasets as selectors
from alignment_app.selectors.exports import Selection, manifest
from alignment_app.services import datasets, exports, imports, people, uploads
from alignment_app.services.errors import Refused
from alignment_app.views.access import requires
from training.domain.importing import DATASET_KINDS, MEANINGS, looks_like_seed_tasks

PREVIEWED = 20_000  # maximum records in a preview
WHOSE = (
    ("self", "Student"),
    ("teacher", "A teacher"),
    ("human", "People"),
    ("reference", "Outside reference"),
)
#: What a field of a file becomes, where its name does not say it.
BECOMES = {
    "prompt": "Field name; nested: a.b or list.0.",
    "input": "Appended to the prompt after an empty line.",
    "system": "Inserted before the conversation.",
    "checks": "What a verifier checks: [{kind, …}, …].",
    "weights": "Spans of the completion: [[from, to, weight], …].",
    "text": "Inside a response.",
    "scores": "Inside a response: a number, or one per judge.",
    "rank": "Inside a response: human rank, 1 is best.",
}
PROMPTS_ARE = (("imported", "Imported"), ("seed", "Seed tasks"), ("evaluation", "For evaluation"))

importers = requires(people.can_import, "Only leads and admins can import data.")
exporters = requires(people.can_export, "Only admins can export data.")


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List the data sets by name."""
    query, kind = request.GET.get("q", ""), request.GET.get("kind", "")
    context = {
        "page": selectors.datasets_page(query, kind, request.GET.get("page")),
        "q": query,
        "kind": kind,
        "kinds": Dataset.Kind.choices,
        "filtered": bool(query.strip() or kind),
        "may_import": people.can_import(request.user),
        "may_export": people.can_export(request.user),
    }
    return render(request, "data/index.html", context)


@require_GET
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a data set: counts, judges, rows."""
    dataset = get_object_or_404(Dataset.objects.select_related("created_by", "run"), pk=pk)
    query = request.GET.get("q", "")
    context = {
        "dataset": dataset,
        "counts": counts_in_words(selectors.counts(dataset)),
        "judges": selectors.judges(dataset),
        "page": selectors.rows_page(dataset, query, request.GET.get("page")),
        "q": query,
        "may_import": people.can_import(request.user) and not dataset.run_id,
        "may_export": people.can_export(request.user),
    }
    return render(request, "data/dataset.html", context)


@importers
@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove a data set that no run uses."""
    dataset = get_object_or_404(Dataset, pk=pk)
    try:
        datasets.remove(dataset, user=request.user)
    except Refused as refusal:
        messages.error(request, refusal.message)
        return redirect("dataset", pk)
    messages.success(request, f"{dataset.name} removed.")
    return redirect("data")


@importers
@require_http_methods(["GET", "POST"])
def choose_file(request: HttpRequest) -> HttpResponse:
    """Upload a file. It is kept until it is imported."""
    problem, status = "", 200
    if request.method == "POST":
        file = request.FILES.get("file")
        try:
            if file is None:
                raise Refused("no-file", "Choose a file.", status=422)
            return redirect("data-preview", uploads.keep(file, request.user))
        except Refused as refusal:
            problem, status = refusal.message, refusal.status
    return render(request, "data/import.html", {"problem": problem, "kinds": Dataset.Kind.choices}, status=status)


@importers
@require_http_methods(["GET", "POST"])
def preview(request: HttpRequest, key: str) -> HttpResponse:
    """Show the preview of an upload with its mapping, and import it."""
    try:
        path = uploads.find(key, request.user)
    except Refused as refusal:
        messages.error(request, refusal.message)
        return redirect("data-import")
    if request.method == "POST" and "drop" in request.POST:
        uploads.discard(path)
        return redirect("data")
    asked = _asked(request, uploads.name_of(path, key))
    context: dict[str, Any] = {"key": key, "file": uploads.name_of(path, key), "asked": asked, "problem": ""}
    status = 200
    if request.method == "POST" and "import" in request.POST:
        try:
            report = _import(request, path, asked)
        except Refused as refusal:
            context["problem"], status = refusal.message, 422
        else:
            uploads.discard(path)
            for line, reason in report.bad[:5]:
                messages.warning(request, f"Line {line} skipped: it {reason}.")
            messages.success(request, f"{report.dataset}: {report.sentence()}.")
            return redirect("dataset", report.dataset.pk) if report.dataset else redirect("data")
    context |= _previewed(path, asked, context["problem"])
    context |= {"kinds": Dataset.Kind.choices, "whose": WHOSE, "prompts_are": PROMPTS_ARE, "previewed": PREVIEWED}
    return render(request, "data/preview.html", context, status=status if not context["broken"] else 422)


def _asked(request: HttpRequest, file_name: str) -> dict[str, Any]:
    """Return the mapping of the form; empty at the first request."""
    sent = request.POST
    kind = sent.get("kind", "")
    kind = kind if kind in DATASET_KINDS else ""
    meanings = MEANINGS[kind] if kind else ()
    mapping = {name: sent.get(f"map.{name}", "").strip()[:200] for name in meanings}
    columns = sent.getlist("column")[:50]
    judges = {source: column for column in columns if (source := sent.get(f"judge.{column}", ""))}
    return {
        "name": sent.get("name", file_name.rpartition(".")[0] or file_name).strip(),
        "kind": kind,
        "mapping": {name: path for name, path in mapping.items() if path},
        "judges": judges,
        "twice": len(judges) < len([column for column in columns if sent.get(f"judge.{column}")]),
        "source": sent.get("source", ""),
        "keep_good": "keep_good" in sent,
        "description": sent.get("description", "")[:2000],
        "licence": sent.get("licence", "")[:80],
    }


def _import(request: HttpRequest, path: Any, asked: dict[str, Any]) -> imports.ImportReport:
    if asked["twice"]:
        raise Refused(
            "twice", "Two columns have the same judge. Use different judges, or leave one column out.", status=422
        )
    kind = asked["kind"] or imports.preview(path, at_most=50).kind
    return imports.import_rows(
        asked["name"],
        kind,
        path,
        mapping=asked["mapping"],
        judges=asked["judges"] if kind == "scored" else {},
        keep_good=asked["keep_good"],
        source=asked["source"] or "imported",
        description=asked["description"],
        licence=asked["licence"],
        user=request.user,
    )


def _previewed(path: Any, asked: dict[str, Any], problem: str) -> dict[str, Any]:
    """Return the preview of the first rows. ``broken`` is set if the file cannot be read."""
    reading = {"mapping": asked["mapping"], "judges": asked["judges"] if asked["kind"] in ("scored", "") else {}}
    broken = False
    shown: imports.Preview | None = None
    try:
        shown = imports.preview(path, asked["kind"], at_most=PREVIEWED, **reading)
    except Refused as refusal:
        said = refusal.message
        try:
            # Without the score mapping, so that the user can select columns.
            shown = imports.preview(path, asked["kind"], at_most=PREVIEWED, mapping=asked["mapping"], ask_whose=False)
            if not asked["judges"] and shown.score_columns:
                said = "Select the judge of each score column. Columns without a judge are not stored."
            problem = problem or said
        except Refused as second:
            problem, broken = second.message, True
    fields = []
    if shown:
        asked["kind"] = asked["kind"] or shown.kind
        if not asked["source"]:
            asked["source"] = "seed" if looks_like_seed_tasks(shown.fields) else "imported"
        fields = [
            (name, name.replace("_", " "), shown.mapping.get(name, ""), BECOMES.get(name, ""))
            for name in MEANINGS[shown.kind]
        ]
    chosen = {column: source for source, column in asked["judges"].items()}
    columns = [(column, chosen.get(column, "")) for column in (shown.score_columns if shown else [])]
    cut = bool(shown) and shown.good + shown.report.bad_count >= PREVIEWED  # type: ignore[union-attr]
    return {"shown": shown, "fields": fields, "columns": columns, "problem": problem, "broken": broken, "cut": cut}


@exporters
@require_http_methods(["GET", "POST"])
def export_rows(request: HttpRequest) -> HttpResponseBase:
    """List the exports. A POST streams a new one."""
    if request.method == "POST":
        number: dict[str, Any] = {
            name: _number(request.POST.get(name, "")) for name in ("snapshot", "run", "iteration", "dataset")
        }
        try:
            if -1 in number.values():
                raise Refused("not-found", "Not a whole number.", status=400)
            selection = Selection(request.POST.get("kind", ""), source=request.POST.get("source", ""), **number)
            stream = exports.export(selection, request.POST.get("format", DEFAULT_FORMAT), user=request.user)
        except Refused as refusal:
            messages.error(request, refusal.message)
            return redirect(reverse("data-exports"))
        return Download(stream)
    context = {"page": selectors.exports_page(request.GET.get("page")), "kinds": Export.Kind.choices}
    return render(request, "data/exports.html", context)


def _number(text: str) -> int | None:
    """Parse a database id: ``None`` if empty, -1 if invalid."""
    if not text.strip():
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1


@exporters
@require_GET
def export_manifest(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the manifest of an export as a file."""
    export = get_object_or_404(Export, pk=pk)
    answer = JsonResponse(manifest(export), json_dumps_params={"indent": 2, "ensure_ascii": False})
    answer.headers["Content-Disposition"] = f'attachment; filename="{export.file_name}.manifest.json"'
    return answer
