"""Self-instruct: new prompts from few-shot demonstrations, filtered against everything known (001 section 3.1.3)."""

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
from training.engines.base import Engine, Request, Sampling, Unanswered

Template = Literal["few_shot", "single_instruction"]

ROUND = 16  # requests sent together; demonstrations of a round are drawn from what earlier rounds gave
FRUITLESS_ROUNDS = 4  # rounds in a row that add nothing before the model is held to be unable


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
    keep: PromptFilter | None = None,
) -> Iterator[PromptDraft | RejectedDraft]:
    """Yield the prompts that bring the total to ``count``, each with its round in ``meta``, and what filters removed.

    ``generated`` are this iteration's prompts so far, each with its round. A round is a pure function of the seed and
    of the rounds before it, so the last one, which may have been cut off in the middle, is made again: it yields what
    is there already and then what is missing. Ends early when several rounds in a row add nothing. New prompts differ
    from the seeds, the earlier rounds and ``avoid``, what earlier iterations wrote. ``template`` "few_shot" shows
    six seeds, none longer than what is kept, and two generated ones (001 section 3.1.3); "single_instruction" shows
    none (000 figure 2). ``keep`` may be given to read its report of what each filter removed; it then holds the pool.
    """
    current = max((number for _, number in generated), default=0)
    known = [text for text, number in generated if number < current]
    keep = keep or PromptFilter([*seeds, *avoid, *known], scripts={main_script(text) for text in seeds} - {""})
    shown_seeds = usable_demonstrations(seeds)
    made, fruitless = len(known), 0
    while made < count and fruitless < FRUITLESS_ROUNDS:
        before, place = made, 0
        for text, shown, finished in _replies(shown_seeds, list(known), current, engine, sampling, seed, template):
            texts = read_instructions(text, continues=template == "few_shot")
            for candidate in texts if finished else texts[:-1]:
                found = keep.admit(candidate, shown)
                if isinstance(found, RejectedDraft):
                    yield replace(found, round=current, place=place)
                elif made < count:
                    made += 1
                    known.append(found.text)
                    yield PromptDraft(found.text, {**found.meta, "round": current})
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
    """One round's texts, each with the demonstrations that it followed and whether the model ended it by itself."""
    requests: list[Request] = []
    demonstrations: list[list[str]] = []
    for number in range(current * ROUND, (current + 1) * ROUND):
        shown = choose_demonstrations(seeds, known, run_seed=seed, index=number) if template == "few_shot" else []
        asked = render_self_instruct(shown) if shown else SINGLE_INSTRUCTION_TEXT
        message: Message = {"role": "user", "content": asked}
        demonstrations.append(shown)
        requests.append(Request(str(number), (message,), derive_seed(seed, "write", number)))
    # In the order asked, not in the order finished: what is admitted must not depend on the engine's haste.
    replies = sorted(engine.generate(requests, sampling), key=lambda reply: int(reply.key))
    failed = [reply for reply in replies if reply.finish_reason == "error"]
    # A few that are refused for good cost a round a few texts; all of them together say nothing of the writer.
    if lost := [reply for reply in failed if not reply.refused or len(failed) == len(replies)]:
        raise Unanswered.of(lost)
    return [
        (reply.text, demonstrations[int(reply.key) - current * ROUND], reply.finish_reason != "length")
        for reply in replies
        if reply.finish_reason != "error"
    ]
