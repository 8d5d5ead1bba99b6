"""What admins do to judges: add one, and make the next version of one."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from alignment_app.models import JudgeVersion
from alignment_app.selectors import judges as selectors
from alignment_app.services.errors import Refused
from training import judges
from training.config import ConfigError, RunConfig
from training.domain.judges import JUDGE_KINDS, Judge, JudgeError


def check(document: str, *, name: str = "") -> Judge:
    """The judge that a document would make: a new one, or with ``name`` the next version of that one.

    Raises :class:`JudgeError` with every problem, each on its field.
    """
    judge = judges.read_judge(document)
    if name and judge.name != name:
        raise JudgeError([("name", f"must stay {name}; a judge of another name is made with New judge")])
    if judge.name in judges.builtin():
        raise JudgeError([("name", f"{judge.name} comes with Plumbline and stays as it is; choose another name")])
    newest = JudgeVersion.objects.filter(name=judge.name).order_by("-version").first()
    if newest and not name:
        raise JudgeError([("name", f"there is a judge {judge.name} already; edit that one, or choose another name")])
    if newest and newest.kind != judge.kind:
        raise JudgeError([("kind", f"must stay {newest.kind}: runs name this judge for what it does")])
    return judge


def save(document: str, *, name: str = "", user: Any = None) -> JudgeVersion:
    """Keep a new judge, or the next version of ``name``. Runs that used an earlier version keep to it.

    A document that changes nothing makes no version. Raises :class:`JudgeError`, or :class:`Refused` where somebody
    else saved a version at the same moment.
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
        raise Refused(
            "taken", "Somebody saved a version of this judge at the same moment. Look at it, then save again."
        ) from None


def kept_for(config: RunConfig) -> dict[str, dict[str, Any]]:
    """The judges that a config names, as a run keeps them: later versions change nothing in it.

    Raises :class:`ConfigError` for one that is not there or does other work.
    """
    kept, problems = {}, []
    for field, reference in config.judges().items():
        wanted = "comparison" if field == "evaluation.judge" else "score"
        try:
            judge = selectors.find(reference)
        except ValueError as error:
            problems.append((field, str(error)))
            continue
        if judge.kind != wanted:
            doing = JUDGE_KINDS[judge.kind]
            fitting = ", ".join(selectors.names(wanted))
            problems.append((field, f"the judge {judge.name} {doing}; choose one of {fitting}"))
        kept[field] = selectors.as_kept(judge)
    if problems:
        raise ConfigError(problems)
    return kept
