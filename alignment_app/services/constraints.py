"""Make a data set of constraint prompts, which carry checks for a verifier, from the instructions of another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alignment_app.models import Dataset
from alignment_app.services.import_formats import ImportRefused
from alignment_app.services.imports import ImportReport, import_rows
from training.domain.seeds import derive_seed
from training.domain.verifiers.making import DRAWN_KINDS, make_constraint_prompts


def make_constraints(
    instructions: Dataset,
    name: str,
    *,
    seed: int = 0,
    count: int | None = None,
    least: int = 1,
    most: int = 2,
    kinds: Sequence[str] = DRAWN_KINDS,
    source: str = "imported",
    user: Any = None,
) -> ImportReport:
    """Make the data set ``name`` of ``count`` prompts from instructions drawn by the seed; by default of all.

    Prompts with several turns are left out. Prompts that the data set already has are counted as repeated.

    Raises :class:`ImportRefused` if there is no instruction, or for invalid numbers or kinds.
    """
    if count is not None and count < 1:
        raise ImportRefused("count must be 1 or more")
    found = instructions.prompts.exclude(messages=[]).order_by("position", "pk").values_list("messages", "text")
    single = [text for messages, text in found if len(messages) == 1 and text.strip()]
    if not single:
        raise ImportRefused(f"the data set {instructions.name!r} holds no prompt with a single turn")
    if count is not None:
        drawn = set(sorted(single, key=lambda text: derive_seed(seed, "constraint instructions", text))[:count])
        single = [text for text in single if text in drawn]
    about = f"Constraint prompts from {instructions.name}, seed {seed}, {least} to {most} checks per prompt."
    details = {"source": source, "description": about, "licence": instructions.licence, "user": user}
    return import_constraints(name, single, seed=seed, least=least, most=most, kinds=kinds, **details)


def import_constraints(
    name: str,
    instructions: Sequence[str],
    *,
    seed: int,
    least: int = 1,
    most: int = 2,
    kinds: Sequence[str] = DRAWN_KINDS,
    **details: Any,
) -> ImportReport:
    """Make the data set ``name`` of a constraint prompt per instruction. ``details`` go to :func:`import_rows`.

    Raises :class:`ImportRefused` for invalid numbers or kinds.
    """
    try:
        made = list(make_constraint_prompts(instructions, seed=seed, least=least, most=most, kinds=kinds))
    except ValueError as error:
        raise ImportRefused(str(error)) from None
    return import_rows(name, Dataset.Kind.PROMPTS, [prompt.as_row() for prompt in made], **details)
