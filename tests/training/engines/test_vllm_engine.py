"""The real vLLM in the worker: reproducible texts, shared prompts, streaming completions, and freed memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from tests.support.students import save_little_student
from training.engines.base import Completion, EngineError, PromptsRefused, Request, Sampling

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: make install-vllm"),
]

SAMPLED = Sampling(temperature=0.8, top_p=0.9, max_new_tokens=24)


@pytest.fixture(scope="module")
def wider_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The little student with head size 32: vLLM's attention on a CPU does not support 16."""
    return save_little_student(tmp_path_factory.mktemp("wider"), width=64)


@pytest.fixture(scope="module")
def engine(wider_model: Path) -> Iterator[object]:
    from training.engines.vllm_engine import VLLMEngine

    before = psutil.Process().memory_info().rss
    engine = VLLMEngine(wider_model, max_length=1024)
    held = psutil.Process().memory_info().rss
    yield engine
    engine.close()
    gc.collect()
    # Asserted here and not in a separate test, because starting vLLM takes half a minute.
    assert not [child for child in psutil.Process().children() if "vllm" in " ".join(child.cmdline()).lower()]
    after = psutil.Process().memory_info().rss
    assert after - before < (held - before) / 2, f"{before >> 20}, {held >> 20}, {after >> 20} MiB"


def _requests(count: int, copies: int = 1) -> list[Request]:
    return [
        Request(f"{n}:{k}", ({"role": "user", "content": f"Say {n} {'again ' * (n % 5)}"},), seed=n * 100 + k)
        for n in range(count)
        for k in range(copies)
    ]


def _by_key(completions: list[Completion]) -> dict[str, Completion]:
    return {completion.key: completion for completion in completions}


def test_every_request_yields_one_completion_with_all_fields(engine) -> None:
    requests = _requests(10, copies=4)
    found = _by_key(list(engine.generate(requests, SAMPLED)))
    assert sorted(found) == sorted(request.key for request in requests)
    for request in requests:
        came = found[request.key]
        assert came.seed == request.seed
        assert 0 < came.token_count <= 24
        assert came.finish_reason == ("length" if came.token_count == 24 else "stop")
        assert came.logprob is not None
        assert came.logprob < 0
    assert list(engine.generate([], SAMPLED)) == []


def test_a_request_gives_the_same_text_alone_and_in_any_batch(engine) -> None:
    requests = _requests(12, copies=3)
    together = _by_key(list(engine.generate(requests, SAMPLED)))
    backwards = _by_key(list(engine.generate(requests[::-1], SAMPLED)))
    alone = _by_key([next(iter(engine.generate([request], SAMPLED))) for request in requests])
    for key, completion in together.items():
        assert completion.text == backwards[key].text == alone[key].text


def test_requests_that_share_one_seed_are_all_answered(engine) -> None:
    shared = [Request(str(n), ({"role": "user", "content": f"Number {n}"},), seed=7) for n in range(200)]
    assert len(list(engine.generate(shared, Sampling(0.7, 0.9, 4)))) == 200


def test_another_seed_gives_another_text(engine) -> None:
    messages = _requests(1)[0].messages
    first, second = engine.generate([Request("a", messages, 1), Request("b", messages, 2)], SAMPLED)
    assert first.text != second.text


def test_greedy_text_and_log_probability_are_those_of_the_transformers_engine(engine, wider_model: Path) -> None:
    from training.engines.transformers_engine import TransformersEngine

    greedy = Sampling(0, 1, 12)
    wanted = _by_key(list(TransformersEngine(wider_model).generate(_requests(6), greedy)))
    found = _by_key(list(engine.generate(_requests(6), greedy)))
    for key, completion in wanted.items():
        assert found[key].text == completion.text
        assert found[key].token_count == completion.token_count
        assert found[key].logprob == pytest.approx(completion.logprob, abs=1e-2)


def test_samples_of_one_prompt_compute_it_once(engine) -> None:
    words = "The same long beginning. " * 20
    before = engine.tokens.prompt - engine.tokens.cached
    messages = ({"role": "user", "content": words},)
    list(engine.generate([Request(str(k), messages, k) for k in range(8)], Sampling(1.0, 1.0, 2)))
    computed = engine.tokens.prompt - engine.tokens.cached - before
    length = len(engine.conversations.tokenizer(words)["input_ids"])
    # One full computation; for each other request at most one incomplete block of 32 tokens, which is not shared.
    assert length <= computed <= length + 16 + 7 * 32


def test_a_short_answer_does_not_wait_for_a_long_one_and_a_stop_aborts_the_others(engine) -> None:
    requests = _requests(400)
    stream = engine.generate(requests, Sampling(0.8, 0.9, 200))
    next(stream)
    assert engine.in_flight > 0  # the others are still being generated
    stream.close()
    assert engine.in_flight == 0
    assert len(list(engine.generate(_requests(3), SAMPLED))) == 3


def test_a_prompt_that_does_not_fit_is_refused_with_its_length_and_the_limit(engine) -> None:
    long = Request("long", ({"role": "user", "content": "x" * 1015},), 0)
    with pytest.raises(PromptsRefused, match=r"prompt of 10\d\d tokens with 24 new ones .* limit of 1024; it begins"):
        next(engine.generate([*_requests(3), long], SAMPLED))


def test_a_folder_without_a_model_is_refused_with_a_message(tmp_path: Path) -> None:
    from training.engines.vllm_engine import VLLMEngine

    with pytest.raises(EngineError, match="vLLM could not start"):
        VLLMEngine(tmp_path)


def test_an_adapter_on_its_base_model_gives_the_texts_of_the_merged_model(wider_model: Path, tmp_path: Path) -> None:
    import peft
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from training.engines.transformers_engine import TransformersEngine
    from training.engines.vllm_engine import VLLMEngine

    torch.manual_seed(4)
    base = AutoModelForCausalLM.from_pretrained(wider_model)
    # A rank that vLLM does not support directly, and a nonzero B, as after some training.
    shape = peft.LoraConfig(r=6, lora_alpha=24, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(base, shape)
    for name, weights in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.5)
    adapted.save_pretrained(tmp_path / "adapter")
    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    AutoTokenizer.from_pretrained(wider_model).save_pretrained(tmp_path / "merged")

    greedy = Sampling(0, 1, 12)
    engine = VLLMEngine(tmp_path / "adapter", max_length=512)
    try:
        found = _by_key(list(engine.generate(_requests(6), greedy)))
    finally:
        engine.close()
    merged = _by_key(list(TransformersEngine(tmp_path / "merged").generate(_requests(6), greedy)))
    unadapted = _by_key(list(TransformersEngine(wider_model).generate(_requests(6), greedy)))
    for key, completion in merged.items():
        assert found[key].text == completion.text
        assert found[key].logprob == pytest.approx(completion.logprob, abs=1e-2)
    assert any(unadapted[key].text != completion.text for key, completion in merged.items())
