"""The transformers engine: the same request gives the same text, regardless of its batch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training import engines
from training.engines import EngineSpec, create_engine
from training.engines.base import Completion, EngineError, PromptsRefused, Request, Sampling
from training.engines.drawing import draw_tokens, uniform_noise
from training.engines.transformers_engine import TransformersEngine

SAMPLED = Sampling(temperature=0.8, top_p=0.9, max_new_tokens=12)


@pytest.fixture(scope="module")
def engine(little_model: Path) -> TransformersEngine:
    return TransformersEngine(little_model, batch_size=16)


def _requests(count: int, copies: int = 1) -> list[Request]:
    return [
        Request(f"{n}:{k}", ({"role": "user", "content": f"Say {n} {'again ' * (n % 5)}"},), seed=n * 100 + k)
        for n in range(count)
        for k in range(copies)
    ]


def _by_key(completions: list[Completion]) -> dict[str, Completion]:
    return {completion.key: completion for completion in completions}


def test_every_request_yields_one_completion(engine: TransformersEngine) -> None:
    requests = _requests(10, copies=4)
    found = list(engine.generate(requests, SAMPLED))
    assert sorted(completion.key for completion in found) == sorted(request.key for request in requests)
    assert all(
        completion.seed == int(completion.key.split(":")[0]) * 100 + int(completion.key[-1]) for completion in found
    )
    assert list(engine.generate([], SAMPLED)) == []


def test_on_idle_is_called_before_each_batch(engine: TransformersEngine) -> None:
    drawn: list[Completion] = []
    counts_when_idle: list[int] = []
    engine.batch_size, engine.on_idle = 2, lambda: counts_when_idle.append(len(drawn))
    for completion in engine.generate(_requests(5), SAMPLED):
        drawn.append(completion)
    engine.batch_size, engine.on_idle = 16, lambda: None
    assert counts_when_idle == [0, 2, 4]


def test_a_request_gives_the_same_text_alone_and_in_any_batch(engine: TransformersEngine) -> None:
    requests = _requests(12, copies=3)
    together = _by_key(list(engine.generate(requests, SAMPLED)))
    engine.batch_size = 5
    in_fives = _by_key(list(engine.generate(requests[::-1], SAMPLED)))
    alone = _by_key([next(iter(engine.generate([request], SAMPLED))) for request in requests])
    engine.batch_size = 16
    for key, completion in together.items():
        assert completion.text == in_fives[key].text == alone[key].text
        assert completion.logprob == pytest.approx(alone[key].logprob, abs=1e-4)


def test_another_seed_gives_another_text(engine: TransformersEngine) -> None:
    first, second = engine.generate(
        [Request("a", _requests(1)[0].messages, 1), Request("b", _requests(1)[0].messages, 2)], SAMPLED
    )
    assert first.text != second.text


def test_a_longer_limit_only_adds_to_the_text(engine: TransformersEngine) -> None:
    request = _requests(1)
    short = next(iter(engine.generate(request, Sampling(0.8, 0.9, 5))))
    longer = next(iter(engine.generate(request, Sampling(0.8, 0.9, 20))))
    if short.finish_reason == "length":
        assert longer.token_count > short.token_count
        ids = engine.tokenizer(longer.text)["input_ids"]
        assert engine.tokenizer(short.text)["input_ids"][:4] == ids[:4]


def test_greedy_decoding_equals_generate(engine: TransformersEngine) -> None:
    for completion, request in zip(
        sorted(engine.generate(_requests(6), Sampling(0, 1, 10)), key=lambda c: int(c.key.split(":")[0])),
        _requests(6),
        strict=True,
    ):
        text = engine.tokenizer.apply_chat_template(
            [dict(message) for message in request.messages], tokenize=False, add_generation_prompt=True
        )
        inputs = engine.tokenizer(text, return_tensors="pt", add_special_tokens=False)
        written = engine.model.generate(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], do_sample=False, max_new_tokens=10
        )
        expected = engine.tokenizer.decode(written[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert completion.text == expected


@torch.inference_mode()
def test_the_log_probability_is_the_models_own(engine: TransformersEngine) -> None:
    request = _requests(1)[0]
    completion = next(iter(engine.generate([request], SAMPLED)))
    prompt = engine.tokenizer.apply_chat_template(
        [dict(message) for message in request.messages], tokenize=False, add_generation_prompt=True
    )
    start = engine.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    noise = torch.from_numpy(uniform_noise(request.seed, 12)).float()
    ids, total = list(start), 0.0
    for step in range(completion.token_count):
        logits = engine.model(input_ids=torch.tensor([ids])).logits[:, -1]
        token, gained = draw_tokens(logits, noise[step : step + 1], temperature=0.8, top_p=0.9)
        ids.append(int(token))
        total += float(gained)
    assert completion.logprob == pytest.approx(total, abs=1e-3)


def test_a_prompt_that_does_not_fit_is_refused_with_its_length_and_the_limit(little_model: Path) -> None:
    engine = TransformersEngine(little_model, max_length=64)
    long = Request("long", ({"role": "user", "content": "x" * 60},), 0)
    with pytest.raises(PromptsRefused, match=r"prompt of 6\d tokens with 12 new ones .* limit of 64; it begins"):
        list(engine.generate([*_requests(3), long], SAMPLED))


def test_a_folder_without_a_model_is_refused_with_a_message(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="could not be loaded"):
        TransformersEngine(tmp_path)


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0]).repeat(20_000, 1)
    noise = torch.from_numpy(np.random.default_rng(0).random(20_000)).float()
    tokens, logps = draw_tokens(logits, noise, temperature=1.0, top_p=1.0)
    expected = logits[0].softmax(-1)
    assert torch.allclose(torch.bincount(tokens, minlength=4) / 20_000, expected, atol=0.01)
    assert torch.allclose(logps, expected.log()[tokens], atol=1e-5)


def test_a_nucleus_holds_the_smallest_set_with_its_mass() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    noise = torch.linspace(0, 0.99999, 1000)
    for top_p, allowed in ((0.5, {0}), (0.6, {0, 1}), (0.81, {0, 1, 2}), (1.0, {0, 1, 2, 3})):
        tokens, _ = draw_tokens(probabilities.log().repeat(1000, 1), noise, temperature=1.0, top_p=top_p)
        assert set(tokens.tolist()) == allowed


def test_a_draw_never_falls_outside_the_nucleus_at_the_edges() -> None:
    logits = torch.tensor([[-20.0, 5.0, 4.0, -20.0]]).repeat(2, 1)
    tokens, _ = draw_tokens(logits, torch.tensor([0.0, 1.0]), temperature=0.7, top_p=0.9)
    assert tokens.tolist() == [1, 2] or tokens.tolist() == [1, 1]


def test_a_batch_that_does_not_fit_in_memory_is_halved_to_the_same_texts(
    little_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = _requests(11)
    engine = TransformersEngine(little_model, batch_size=11)
    expected = {completion.key: completion.text for completion in engine.generate(requests, SAMPLED)}
    decode = engine._decode

    def with_room_for_three(jobs: list[Any], sampling: Sampling) -> list[Completion]:
        if len(jobs) > 3:
            raise torch.OutOfMemoryError("no max_answer_tokens")
        return decode(jobs, sampling)

    monkeypatch.setattr(engine, "_decode", with_room_for_three)
    assert {completion.key: completion.text for completion in engine.generate(requests, SAMPLED)} == expected
    assert engine.batch_size <= 3


def test_a_single_prompt_that_does_not_fit_in_memory_raises_a_message(
    little_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TransformersEngine(little_model)

    def without_room(*_: Any) -> list[Completion]:
        raise torch.OutOfMemoryError("no max_answer_tokens")

    monkeypatch.setattr(engine, "_decode", without_room)
    with pytest.raises(EngineError, match="ran out of memory with a single prompt"):
        list(engine.generate(_requests(1), SAMPLED))


def test_a_foreign_checkpoint_generates(models_folder: Path) -> None:
    engine = create_engine(EngineSpec("transformers", str(models_folder / "tiny-lm")))
    completion = next(iter(engine.generate(_requests(1), Sampling(0.7, 0.9, 8))))
    assert completion.text
    assert completion.finish_reason in ("stop", "length")
    engine.close()


def test_a_tokenizer_without_a_chat_template_gets_the_plain_one(little_model: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(little_model)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    AutoModelForCausalLM.from_pretrained(little_model).save_pretrained(tmp_path)
    engine = TransformersEngine(tmp_path)
    text = engine.tokenizer.apply_chat_template(
        [{"role": "user", "content": "Why?"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<s>User: Why?\n\nAssistant:"


def test_a_conversation_that_the_template_refuses_raises_a_message(little_model: Path) -> None:
    engine = TransformersEngine(little_model)
    engine.tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(EngineError, match=r"refuses a conversation of system, user: roles must alternate"):
        list(
            engine.generate(
                [Request("a", ({"role": "system", "content": ""}, {"role": "user", "content": ""}), 0)], SAMPLED
            )
        )


def test_the_length_of_an_answer_to_a_refused_conversation_raises_the_engines_error(little_model: Path) -> None:
    engine = TransformersEngine(little_model)
    engine.tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(EngineError, match="roles must alternate"):
        engine.max_answer_tokens(Request("a", ({"role": "user", "content": "Why?"},), 0))


def test_an_engine_whose_package_is_missing_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    # A finder without vllm, whether it is installed or not.
    monkeypatch.setattr(engines, "find_spec", lambda name: None if name == "vllm" else find_spec(name))
    with pytest.raises(EngineError, match="make install-vllm"):
        create_engine(EngineSpec("vllm", "any"))
