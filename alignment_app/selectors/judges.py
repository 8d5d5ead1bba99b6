"""Built-in judges and judges defined by users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Max

from alignment_app.models import JudgeVersion, Run
from training import judges
from training.domain.judges import Judge, JudgeError, judge_from_data, split_reference


def find(reference: str) -> Judge:
    """Return the judge ``name`` (newest version) or ``name@version``. Raises :class:`ValueError` if unknown."""
    name, version = split_reference(reference)
    if name in judges.builtin():
        judge = judges.get(name)
        if version in (None, judge.version):
            return judge
        raise ValueError(f"{name} has only the version {judge.version}")
    versions = JudgeVersion.objects.filter(name=name).order_by("-version")
    row = versions.first() if version is None else versions.filter(version=version).first()
    if row is None:
        if version is not None and versions.exists():
            raise ValueError(f"{name} has no version {version}; the newest is {versions[0].version}")
        raise ValueError(f"there is no judge {name!r}; choose one of {', '.join(names())}")
    return read(row)


def read(row: JudgeVersion) -> Judge:
    """Return the judge of a database row. Raises :class:`ValueError` for a document the current version cannot read."""
    try:
        return judges.read_judge(row.document, version=row.version)
    except JudgeError as error:
        raise ValueError(f"{row} cannot be read ({error}); edit it to create a new version") from None


def names(kind: str = "") -> list[str]:
    """Return the names of all judges (of a kind), built-in ones first."""
    rows = JudgeVersion.objects.filter(kind=kind) if kind else JudgeVersion.objects.all()
    own = [name for name, judge in judges.builtin().items() if kind in ("", judge.kind)]
    return own + sorted(set(rows.values_list("name", flat=True)))


def choices(kind: str) -> list[tuple[str, str]]:
    """Return (reference, label) of the judges that a config field may name."""
    newest = dict(JudgeVersion.objects.filter(kind=kind).values_list("name").annotate(newest=Max("version")))
    found = []
    for name in names(kind):
        title = judges.get(name).title if name in judges.builtin() else f"version {newest[name]}"
        found.append((name, f"{name} ({title})"))
    return found


def in_run(run: Run, field: str) -> Judge:
    """Return the judge as stored with the run; for runs without stored judges, the one named in the config."""
    kept = run.judges.get(field)
    if kept:
        return judge_from_data(kept["judge"], version=kept["version"])
    return find(run.typed_config.judges()[field])


@dataclass(frozen=True, slots=True)
class JudgeRow:
    """A judge in the list of judges."""

    judge: Judge
    is_builtin: bool
    versions: int
    runs: int
    changed: JudgeVersion | None


def rows() -> list[JudgeRow]:
    """Return every judge in its newest version, with the number of runs that used any version."""
    used: dict[str, int] = {}
    for kept in Run.objects.values_list("judges", flat=True):
        for name in {entry["judge"]["name"] for entry in kept.values()}:
            used[name] = used.get(name, 0) + 1
    found = [JudgeRow(judge, True, 1, used.get(name, 0), None) for name, judge in judges.builtin().items()]
    newest: dict[str, JudgeVersion] = {}
    counts: dict[str, int] = {}
    for row in JudgeVersion.objects.select_related("created_by").order_by("name", "-version"):
        newest.setdefault(row.name, row)
        counts[row.name] = counts.get(row.name, 0) + 1
    for name, row in newest.items():
        try:
            found.append(JudgeRow(read(row), False, counts[name], used.get(name, 0), row))
        except ValueError:
            continue
    return found


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version of a judge, with the runs that used it."""

    version: int
    content_hash: str
    row: JudgeVersion | None
    runs: list[Run]


def versions(name: str) -> list[VersionRow]:
    """Return the versions of a judge, newest first; empty if the name is unknown."""
    runs: dict[int, list[Run]] = {}
    for run in Run.objects.exclude(judges={}).only("id", "name", "judges"):
        for version in {entry["version"] for entry in run.judges.values() if entry["judge"]["name"] == name}:
            runs.setdefault(version, []).append(run)
    if name in judges.builtin():
        judge = judges.get(name)
        return [VersionRow(judge.version, judge.content_hash, None, runs.get(judge.version, []))]
    found = JudgeVersion.objects.filter(name=name).select_related("created_by").order_by("-version")
    return [VersionRow(row.version, row.content_hash, row, runs.get(row.version, [])) for row in found]


def judge_data(judge: Judge) -> dict[str, Any]:
    """Return the data of a judge that is stored with a run."""
    return {"judge": judge.as_data(), "version": judge.version, "hash": judge.content_hash}
