"""Self-instruct: write new prompts from few-shot examples and filter duplicates.

Source: Yuan et al. (2024), section 3.1.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from training.domain.rows import Message, PromptDraft, RejectedDraft
from training.domain.seeds import derive_seed
from training.domain.self_instruct import (
    PromptFilter,
    choose_demonstrations,
    main_script,
    read_instructions,
    usable_demonstrations,
)
from training.domain.templates import SINGLE_INSTRUCTION_TEXT, render_self_instruct
from training.engines.asking import ask
from training.engines.base import Engine, Request, Sampling, Unanswered

Template = Literal["few_shot", "single_instruction"]

ROUND = 16  # requests per round; the examples of a round are drawn from earlier rounds
FRUITLESS_ROUNDS = 4  # consecutive rounds without a new prompt after which writing ends


def write_prompts(
    seeds: Sequence[str],
    generated: Sequence[tuple[str, int]],
    *,
    count: int,
    engine: Engine,
    sampling: Sampling,
    seed: int,
    template: Template = "few_shot",
    avoid: Sequence[str] = (),
    held_out: Sequence[str] = (),
    keep: PromptFilter | None = None,
) -> Iterator[PromptDraft | RejectedDraft]:
    """Yield new prompts, with their round in ``meta``, until there are ``count``, and the rejected drafts.

    ``generated`` holds this iteration's prompts so far and their rounds. A round is a pure function of the seed and the
    earlier rounds, so the last one, which may be incomplete, is repeated: it yields its saved prompts again and then
    the missing ones. Ends early after several rounds without a new prompt. New prompts differ from the seeds, from
    earlier rounds, from ``avoid``, the prompts of earlier iterations, and from ``held_out``, the prompts on which the
    run measures models. ``template`` "few_shot" shows six seeds and two generated prompts (Yuan et al., 2024, section
    3.1.3); "single_instruction" shows no example (Luo et al., figure 2). Pass ``keep`` to read the filter's counts
    afterwards; it then holds the pool of known prompts.
    """
    current = max((number for _, number in generated), default=0)
    known = [text for text, number in generated if number < current]
    keep = keep or PromptFilter(
        [*seeds, *avoid, *known], scripts={main_script(text) for text in seeds} - {""}, held_out=held_out
    )
    shown_seeds = usable_demonstrations(seeds)
    made, fruitless = len(known), 0
    while made < count and fruitless < FRUITLESS_ROUNDS:
        before, place = made, 0
        for text, shown, finished in _replies(shown_seeds, list(known), current, engine, sampling, seed, template):
            texts = read_instructions(text, continues=template == "few_shot")
            for candidate in texts if finished else texts[:-1]:
                draft = keep.admit(candidate, shown)
                if isinstance(draft, RejectedDraft):
                    yield replace(draft, round=current, place=place)
                elif made < count:
                    made += 1
                    known.append(draft.text)
                    yield PromptDraft(draft.text, {**draft.meta, "round": current})
                place += 1
        fruitless = 0 if made > before else fruitless + 1
        current += 1


def _replies(
    seeds: Sequence[str],
    known: Sequence[str],
    current: int,
    engine: Engine,
    sampling: Sampling,
    seed: int,
    template: Template,
) -> list[tuple[str, list[str], bool]]:
    """Return one round's texts, each with its examples and whether the model ended the text itself."""
    requests: list[Request] = []
    demonstrations: list[list[str]] = []
    for number in range(current * ROUND, (current + 1) * ROUND):
        shown = choose_demonstrations(seeds, known, run_seed=seed, index=number) if template == "few_shot" else []
        text = render_self_instruct(shown) if shown else SINGLE_INSTRUCTION_TEXT
        message: Message = {"role": "user", "content": text}
        demonstrations.append(shown)
        requests.append(Request(str(number), (message,), derive_seed(seed, "write", number)))
    # In request order, not in order of completion: the admitted prompts must not depend on timing.
    replies = sorted(ask(engine, requests, sampling), key=lambda reply: int(reply.key))
    failed = [reply for reply in replies if reply.finish_reason == "error"]
    # Some refusals only make the round smaller; if all are refused, the round says nothing about the writer.
    if lost := [reply for reply in failed if not reply.refused or len(failed) == len(replies)]:
        raise Unanswered.of(lost)
    return [
        (reply.text, demonstrations[int(reply.key) - current * ROUND], reply.finish_reason != "length")
        for reply in replies
        if reply.finish_reason != "error"
    ]
