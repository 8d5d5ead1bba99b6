"""Both batch layouts of a pair give the same results; a shared prompt is computed once."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from training.trainers import pair_logps
from training.trainers.pair_logps import PairTokens, pair_batch, shared_batch, shares_prompts, summed_logps

PAIRS = [
    PairTokens(list(range(5, 25)), [30, 31, 32], [40, 41, 42, 43, 44], []),
    PairTokens([7, 8, 9], [10], [11, 12], []),
    PairTokens(list(range(50, 90)), [10, 9, 8], [11, 12, 13, 14], []),
]
COLUMNS = [list(column) for column in zip(*((p.prompt_ids, p.chosen_ids, p.rejected_ids) for p in PAIRS), strict=True)]
SHAPE = {
    "vocab_size": 128, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256,
}  # fmt: skip


def _model(kind: str, **changes: object) -> torch.nn.Module:
    torch.manual_seed(1)
    config = AutoConfig.for_model(kind, **(SHAPE | changes))
    model: torch.nn.Module = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt_neox", "mistral", "phi", "gpt2", "gemma2"])
def test_sums_and_gradients_are_those_of_two_rows(kind: str) -> None:
    model = _model(kind, **({"sliding_window": None} if kind == "mistral" else {})).eval()
    found = []
    for layout in (pair_batch, shared_batch):
        model.zero_grad()
        chosen, rejected = summed_logps(model, layout(*COLUMNS, 0))
        (chosen - 2 * rejected).sum().backward()
        gradients = [weights.grad.clone() for weights in model.parameters() if weights.grad is not None]
        found.append((torch.stack([chosen, rejected]).detach(), gradients))
    (one, first), (other, second) = found
    assert torch.allclose(one, other, atol=1e-5 * 8, rtol=0)  # 1e-5 nats per token, at most eight tokens
    for left, right in zip(first, second, strict=True):
        assert torch.allclose(left, right, atol=2e-4)


@pytest.mark.parametrize(
    ("kind", "changes", "shares"),
    [
        ("llama", {}, True),
        ("gpt_neox", {}, True),
        ("mistral", {"sliding_window": None}, True),
        ("mistral", {"sliding_window": 16}, False),  # the mask would override the window
        ("bloom", {"n_head": 4}, False),  # does not accept positions
        ("mamba", {"state_size": 8, "num_heads": 4}, False),  # has no attention
    ],
)
def test_a_model_with_other_sums_gets_two_rows(kind: str, changes: dict[str, object], shares: bool) -> None:
    assert shares_prompts(_model(kind, **changes), PAIRS, 0) is shares


def test_another_implementation_of_attention_gets_two_rows() -> None:
    assert not shares_prompts(_model("llama", attn_implementation="eager"), PAIRS, 0)


def test_short_prompts_are_not_worth_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    short = [PairTokens([5, 6], list(range(20)), list(range(30)), [])]
    assert not shares_prompts(_model("llama"), short, 0)
    monkeypatch.setattr(pair_logps, "SHARE_BELOW", 1.5)
    assert shares_prompts(_model("llama"), short, 0)


def test_a_rejected_response_attends_to_the_prompt_and_not_to_the_chosen_one() -> None:
    model = _model("llama").eval()
    with torch.no_grad():
        _, before = summed_logps(model, shared_batch(*COLUMNS, 0))
        other = [[99 - token for token in tokens] for tokens in COLUMNS[1]]
        _, after = summed_logps(model, shared_batch(COLUMNS[0], other, COLUMNS[2], 0))
        _, moved = summed_logps(model, shared_batch([[*ids[:-1], 3] for ids in COLUMNS[0]], *COLUMNS[1:], 0))
    assert torch.equal(before, after)
    assert not torch.allclose(before, moved, atol=1e-3)
