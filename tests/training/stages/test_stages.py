"""Stages with real engines: each request gives one row, failed ones stay missing, order does not matter."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from training import judges
from training.domain.rows import (
    ComparisonItem,
    LeftOut,
    Message,
    PromptDraft,
    PromptOutcome,
    PromptRow,
    RejectedDraft,
    ResponseRow,
)
from training.domain.self_instruct import PromptFilter
from training.domain.templates import SINGLE_INSTRUCTION_TEXT, render_short_answer
from training.domain.transcripts import transcript
from training.engines.base import Completion, Request, Sampling, Unanswered
from training.engines.oracle import OracleEngine
from training.engines.remote import UNAVAILABLE_AFTER, Answer, Refused, RemoteEngine, TryAgain
from training.engines.transformers_engine import TransformersEngine
from training.miniature.oracle import demonstrate
from training.stages.comparisons import compare_responses
from training.stages.judgements import JudgeItem, judge_responses
from training.stages.prompts import write_prompts
from training.stages.responses import ResponseRequest, generate_responses

PAIRWISE = judges.get("pairwise")
SAMPLING = Sampling(0.7, 0.9, 12)
Draft = TypeVar("Draft")
QUESTION = "What is the capital of Arvenia?"


class PartlyAway(RemoteEngine):
    """An in-process provider that refuses every request whose seed is a multiple of ``refuses``."""

    name = "partly away"

    def __init__(self, refuses: int) -> None:
        super().__init__(concurrency=3)
        self.refuses = refuses

    def ask(self, request: Request, sampling: Sampling) -> Answer:
        if request.seed % self.refuses == 0:
            raise Refused("away")
        text = f"It is fine.\nScore: {request.seed % 5}"
        return Answer(Completion(request.key, text, 5, "stop", request.seed), None)

    def close(self) -> None:
        """Do nothing."""


class DropsSome(PartlyAway):
    """A provider that does not answer these requests, but could later."""

    def __init__(self, refuses: int) -> None:
        super().__init__(refuses)
        self.attempts = 1

    def ask(self, request: Request, sampling: Sampling) -> Answer:
        try:
            return super().ask(request, sampling)
        except Refused:
            raise TryAgain("busy") from None


@pytest.fixture(scope="module")
def student(little_model: Path) -> TransformersEngine:
    return TransformersEngine(little_model, batch_size=8)


def _prompt(number: int, text: str = "") -> PromptRow:
    return PromptRow(number, ({"role": "user", "content": text or f"Say {number}."},))


def _requests(prompts: int, n: int) -> list[ResponseRequest]:
    return [ResponseRequest(_prompt(p), k, p * 10 + k) for p in range(1, prompts + 1) for k in range(n)]


def test_every_candidate_is_yielded_once_with_its_index_and_seed(student: TransformersEngine) -> None:
    drafts = list(generate_responses(_requests(5, 4), student, SAMPLING))
    assert sorted((d.prompt_id, d.index, d.seed) for d in drafts) == [
        (p, k, p * 10 + k) for p in range(1, 6) for k in range(4)
    ]


def test_a_generation_interrupted_anywhere_ends_with_the_same_texts(student: TransformersEngine) -> None:
    requests = _requests(6, 3)
    whole = {(d.prompt_id, d.index): d.text for d in generate_responses(requests, student, SAMPLING)}
    first: dict[tuple[int, int], str] = {}
    for draft in generate_responses(requests, student, SAMPLING):
        first[draft.prompt_id, draft.index] = draft.text
        if len(first) == 7:
            break
    missing = [request for request in requests if (request.prompt.id, request.index) not in first]
    rest = {(d.prompt_id, d.index): d.text for d in generate_responses(missing, student, SAMPLING)}
    assert first | rest == whole
    assert len(first) + len(rest) == 18


class Listens(PartlyAway):
    """A provider that keeps the last user turn of each request."""

    def __init__(self) -> None:
        super().__init__(refuses=10**9)
        self.heard: list[str] = []

    def ask(self, request: Request, sampling: Sampling) -> Answer:
        self.heard.append(request.messages[-1]["content"])
        return super().ask(request, sampling)


def test_judges_get_every_turn_of_a_conversation_with_several() -> None:
    turns = (
        Message(role="system", content="Be short."),
        Message(role="user", content="Name a bird."),
        Message(role="assistant", content="The ostrich."),
        Message(role="user", content="And one that flies?"),
    )
    prompt, row, engine = PromptRow(1, turns), ResponseRow(1, 1, 0, "A dove."), Listens()
    list(judge_responses([JudgeItem(row, prompt, (1,))], engine, judges.get("additive_5"), SAMPLING))
    list(compare_responses([ComparisonItem(prompt, row, row, 1)], engine, PAIRWISE, SAMPLING))
    assert len(engine.heard) == 3
    assert all(transcript(turns) in text for text in engine.heard)


def test_prompts_that_the_model_cannot_take_are_named_and_the_others_are_answered(
    little_model: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(little_model, tmp_path / "strict")
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    template = folder / "chat_template.jinja"
    template.write_text(refusing + template.read_text())
    system = PromptRow(2, (Message(role="system", content="Be short."), Message(role="user", content="Hello.")))
    rows = [_prompt(1), system, _prompt(3, "long " * 40), _prompt(4)]
    left_out: list[LeftOut] = []
    engine = TransformersEngine(folder, max_length=64)
    requests = [ResponseRequest(prompt, index, index) for prompt in rows for index in range(2)]
    drafts = list(generate_responses(requests, engine, SAMPLING, left_out=left_out.append))
    assert {(draft.prompt_id, draft.index) for draft in drafts} == {(p, k) for p in (1, 4) for k in (0, 1)}
    assert [(one.prompt_id, one.refusal.code) for one in left_out] == [
        (2, PromptOutcome.TEMPLATE_REFUSED), (2, PromptOutcome.TEMPLATE_REFUSED),
        (3, PromptOutcome.TOO_LONG), (3, PromptOutcome.TOO_LONG),
    ]  # fmt: skip
    assert "no system role" in left_out[0].refusal.reason
    answer = ResponseRow(1, 1, 0, "fine")
    judged = [JudgeItem(answer, _prompt(1), (1, 2)), JudgeItem(answer, _prompt(2, "x" * 2000), (1, 2))]
    left_out.clear()
    wide = TransformersEngine(folder, max_length=2048)
    short = judges.get("hundred")
    assert len(list(judge_responses(judged, wide, short, SAMPLING, left_out=left_out.append))) == 1
    assert [one.prompt_id for one in left_out] == [2]
    items = [ComparisonItem(_prompt(1), answer, answer, 1), ComparisonItem(_prompt(2, "x" * 2000), answer, answer, 1)]
    assert [one.prompt_id for one in compare_responses(items, wide, PAIRWISE, SAMPLING, left_out=left_out.append)] == [
        1
    ]
    assert [one.prompt_id for one in left_out] == [2, 2]


def test_a_refused_response_stays_missing() -> None:
    drafts = list(generate_responses(_requests(3, 3), PartlyAway(refuses=2), SAMPLING))
    assert sorted(d.seed for d in drafts) == [seed for p in (1, 2, 3) for k in range(3) if (seed := p * 10 + k) % 2]


def _until_lost(drafts: Iterator[Draft]) -> tuple[list[Draft], str]:
    """Return the drafts before :class:`Unanswered` was raised, and its message."""
    came: list[Draft] = []
    try:
        for draft in drafts:
            came.append(draft)
    except Unanswered as error:
        return came, str(error)
    raise AssertionError("nothing was said to be missing")


def test_a_stage_whose_provider_left_requests_unanswered_is_not_done() -> None:
    written, said = _until_lost(generate_responses(_requests(3, 3), DropsSome(2), SAMPLING))
    assert sorted(draft.seed for draft in written) == [11, 21, 31]
    assert said.startswith("6 requests were not answered: busy")
    items = _items((3, 2, 1), (1, 3, 5))
    judged, said = _until_lost(judge_responses(items, DropsSome(2), judges.get("additive_5"), SAMPLING))
    assert [draft.response_id for draft in judged] == [1]
    assert said.startswith("One request was not answered")
    row = ResponseRow(1, 1, 0, "right")
    pairs = [ComparisonItem(_prompt(1), row, row, 2), ComparisonItem(_prompt(2), row, row, 3)]
    compared, said = _until_lost(compare_responses(pairs, DropsSome(2), PAIRWISE, SAMPLING))
    assert [draft.prompt_id for draft in compared] == [2]
    assert "resume to request the others" in said


def test_an_unavailable_provider_does_not_get_all_requests() -> None:
    asked = []

    class Away(DropsSome):
        def ask(self, request: Request, sampling: Sampling) -> Answer:
            asked.append(request.key)
            raise TryAgain("nobody there")

    with pytest.raises(Unanswered, match="nobody there"):
        list(generate_responses(_requests(100, 2), Away(1), SAMPLING))
    assert UNAVAILABLE_AFTER <= len(asked) < 2 * UNAVAILABLE_AFTER


def _items(*seeds: tuple[int, ...]) -> list[JudgeItem]:
    return [
        JudgeItem(ResponseRow(n, 1, n, f"answer {n}"), _prompt(1, QUESTION), given) for n, given in enumerate(seeds)
    ]


def _judge(items: Sequence[JudgeItem], engine: RemoteEngine | OracleEngine) -> dict[int, object]:
    drafts = judge_responses(items, engine, judges.get("additive_5"), SAMPLING)
    return {draft.response_id: draft for draft in drafts}


def test_k_replies_are_averaged_and_kept_in_the_order_of_their_seeds() -> None:
    (draft,) = judge_responses(_items((3, 1, 4)), PartlyAway(99), judges.get("additive_5"), SAMPLING)
    assert [sample.seed for sample in draft.samples] == [3, 1, 4]
    assert [sample.score for sample in draft.samples] == [3, 1, 4]
    assert draft.mean == pytest.approx(8 / 3)
    assert draft.rationale == "It is fine."


def test_a_missing_reply_is_skipped_and_a_response_without_any_stays_unjudged() -> None:
    found = _judge(_items((3, 2, 1), (2, 4, 6), (1, 3, 5)), PartlyAway(2))
    assert sorted(found) == [0, 2]
    assert [sample.seed for sample in found[0].samples] == [3, 1]  # type: ignore[attr-defined]


def test_the_oracle_prefers_its_own_answer_to_nonsense() -> None:
    good, bad = ResponseRow(1, 1, 0, demonstrate(QUESTION)), ResponseRow(2, 1, 1, "")
    items = [JudgeItem(row, _prompt(1, QUESTION), (1,)) for row in (good, bad)]
    found = _judge(items, OracleEngine())
    assert found[1].mean > found[2].mean  # type: ignore[attr-defined]


def test_a_comparison_is_requested_in_both_orders() -> None:
    good, bad = ResponseRow(1, 1, 0, demonstrate(QUESTION)), ResponseRow(2, 1, 0, "")
    items = [ComparisonItem(_prompt(1, QUESTION), good, bad, 1), ComparisonItem(_prompt(2, QUESTION), bad, good, 2),
             ComparisonItem(_prompt(3, QUESTION), good, good, 3)]  # fmt: skip
    drafts = {draft.prompt_id: draft for draft in compare_responses(items, OracleEngine(), PAIRWISE, SAMPLING)}
    assert [drafts[number].outcome for number in (1, 2, 3)] == ["win", "lose", "tie"]
    assert (drafts[1].verdict_ab, drafts[1].verdict_ba) == ("first", "second")


def test_a_judge_that_always_takes_the_first_gives_only_ties() -> None:
    class TakesTheFirst(PartlyAway):
        def ask(self, request: Request, sampling: Sampling) -> Answer:
            return Answer(Completion(request.key, "Verdict: first", 3, "stop", request.seed), None)

    good, bad = ResponseRow(1, 1, 0, "right"), ResponseRow(2, 1, 0, "wrong")
    (draft,) = compare_responses([ComparisonItem(_prompt(1), good, bad, 1)], TakesTheFirst(1), PAIRWISE, SAMPLING)
    assert draft.outcome == "tie"


class Writer:
    """Continues a list with tasks derived from the seed, with occasional repetitions."""

    name = "writer"

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        for request in reversed(requests):
            words = "river stone cloud lamp bread horse chair glass song field".split()
            first, second = words[request.seed % 10], words[request.seed // 10 % 10]
            text = f" Explain how a {first} differs from one {second} {request.seed}.\n9. Explain how"
            yield Completion(request.key, text, 9, "length", request.seed)

    def close(self) -> None:
        """Do nothing."""


def _kept(drafts: Iterable[PromptDraft | RejectedDraft]) -> list[PromptDraft]:
    return [draft for draft in drafts if isinstance(draft, PromptDraft)]


def test_new_prompts_pass_the_filters_and_an_item_cut_by_the_limit_is_dropped() -> None:
    keep = PromptFilter(["Name a bird that swims."])
    drafts = _kept(
        write_prompts(["Name a bird that swims."], [], count=5, engine=Writer(), sampling=SAMPLING, seed=1, keep=keep)
    )
    assert len(drafts) == 5
    assert all(draft.text.startswith("Explain how a") and draft.text.endswith(".") for draft in drafts)
    again = _kept(write_prompts(["Name a bird that swims."], [], count=5, engine=Writer(), sampling=SAMPLING, seed=1))
    assert [draft.text for draft in again] == [draft.text for draft in drafts]


def test_an_interrupted_round_is_repeated_with_the_same_prompts() -> None:
    def write(generated: list[tuple[str, int]]) -> list[tuple[str, int]]:
        seeds = ["Name a bird that swims."]
        drafts = _kept(write_prompts(seeds, generated, count=40, engine=Writer(), sampling=SAMPLING, seed=1))
        return [(draft.text, draft.meta["round"]) for draft in drafts]

    whole = write([])
    assert {number for _, number in whole} > {0, 1}
    for cut in (1, 20, 39):
        had = whole[:cut]
        earlier = [row for row in had if row[1] < had[-1][1]]
        assert earlier + write(had) == whole


def test_a_model_that_writes_nothing_new_ends_the_stage() -> None:
    class Echo(Writer):
        def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
            for request in requests:
                yield Completion(request.key, " Name a bird.", 4, "stop", request.seed)

    found = list(write_prompts(["Name a bird."], [], count=5, engine=Echo(), sampling=SAMPLING, seed=1))
    rejected = [draft for draft in found if isinstance(draft, RejectedDraft)]
    assert {draft.reason for draft in rejected} == {"duplicate"}
    assert len({(draft.round, draft.place) for draft in rejected}) == len(found) == 64


def test_one_instruction_without_examples_writes_prompts_too() -> None:
    seen: list[str] = []

    class Lister(Writer):
        def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
            for request in requests:
                seen.append(request.messages[-1]["content"])
                text = f"Certainly:\n1. Explain how bread number {request.key} is baked.\n2. Name a lake."
                yield Completion(request.key, text, 9, "stop", request.seed)

    found = write_prompts(
        ["Name a bird."], [], count=1, engine=Lister(), sampling=SAMPLING, seed=1, template="single_instruction"
    )
    assert [draft.text for draft in _kept(found)] == ["Explain how bread number 0 is baked."]
    assert set(seen) == {SINGLE_INSTRUCTION_TEXT}


def test_the_short_answer_instruction_is_sent_to_the_model_but_not_saved() -> None:
    seen: list[str] = []

    class Hears(PartlyAway):
        def ask(self, request: Request, sampling: Sampling) -> Answer:
            seen.append(request.messages[-1]["content"])
            return super().ask(request, sampling)

    (asked,) = _requests(1, 1)
    (draft,) = generate_responses([asked], Hears(99), SAMPLING, short_answers=True)
    assert seen == [render_short_answer(asked.prompt.last_turn)]
    assert draft.prompt_id == asked.prompt.id


def test_an_unanswering_writer_does_not_end_the_stage_as_fruitless() -> None:
    with pytest.raises(Unanswered, match="16 requests were not answered"):
        list(write_prompts(["Name a bird."], [], count=5, engine=PartlyAway(1), sampling=SAMPLING, seed=1))
