"""Create judges and new versions of judges."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from alignment_app.models import JudgeVersion
from alignment_app.selectors import judges as selectors
from alignment_app.services.errors import Refused
from training import judges
from training.config import JUDGE_FIELDS, ConfigError, RunConfig
from training.domain.judges import JUDGE_KINDS, Judge, JudgeError


def check(document: str, *, name: str = "") -> Judge:
    """Return the judge that a document defines: a new one, or with ``name`` the next version of that judge.

    Raises :class:`JudgeError` with all problems by field.
    """
    judge = judges.read_judge(document)
    if name and judge.name != name:
        raise JudgeError([("name", f"must stay {name}; use New judge for another name")])
    if judge.name in judges.builtin():
        raise JudgeError([("name", f"{judge.name} is built in and cannot be changed; choose another name")])
    newest = JudgeVersion.objects.filter(name=judge.name).order_by("-version").first()
    if newest and not name:
        raise JudgeError([("name", f"the judge {judge.name} exists; edit it, or choose another name")])
    if newest and newest.kind != judge.kind:
        raise JudgeError([("kind", f"must stay {newest.kind}: runs refer to this judge by its kind")])
    return judge


def save(document: str, *, name: str = "", user: Any = None) -> JudgeVersion:
    """Save a new judge, or the next version of ``name``. Earlier runs keep their version.

    An unchanged document creates no version. Raises :class:`JudgeError`, or :class:`Refused` when another
    person saved a version at the same time.
    """
    judge = check(document, name=name)
    newest = JudgeVersion.objects.filter(name=judge.name).order_by("-version").first()
    if newest and newest.document == document:
        return newest
    try:
        with transaction.atomic():
            return JudgeVersion.objects.create(
                name=judge.name,
                version=newest.version + 1 if newest else 1,
                kind=judge.kind,
                document=document,
                content_hash=judge.content_hash,
                created_by=user,
            )
    except IntegrityError:
        raise Refused("taken", "Another person saved a version at the same time. Check it, then save again.") from None


def judges_for_run(config: RunConfig) -> dict[str, dict[str, Any]]:
    """Return copies of the judges that a config names, to be stored with the run.

    Raises :class:`ConfigError` for a judge that does not exist or has the wrong kind.
    """
    kept, problems = {}, []
    for field, reference in config.judges().items():
        wanted = JUDGE_FIELDS[field]
        try:
            judge = selectors.find(reference)
        except ValueError as error:
            problems.append((field, str(error)))
            continue
        if judge.kind != wanted:
            doing = JUDGE_KINDS[judge.kind]
            fitting = ", ".join(selectors.names(wanted))
            problems.append((field, f"the judge {judge.name} {doing}; choose one of {fitting}"))
        kept[field] = selectors.judge_data(judge)
    if problems:
        raise ConfigError(problems)
    return kept
