"""The DPO family: values computed by hand, identities from the papers, gradients by finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from training.trainers.losses import dpo_loss, ipo_loss, refinement_delta, sr_dpo_loss, sr_ipo_loss

LOGPS = st.lists(st.floats(-40, 0, allow_nan=False), min_size=4, max_size=4)
BETAS = st.floats(0.01, 2)


def _tensors(values: list[float]) -> list[Tensor]:
    return [torch.tensor([value], dtype=torch.float64) for value in values]


def test_dpo_by_hand() -> None:
    # h = (-10 - -12) - (-14 - -13) = 3; -log sigmoid(0.1 · 3)
    loss = dpo_loss(*_tensors([-10, -14, -12, -13]), beta=0.1)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-0.3)))
    assert loss.shape == (1,)


def test_ipo_by_hand() -> None:
    assert ipo_loss(*_tensors([-10, -14, -12, -13]), beta=0.1).item() == pytest.approx((3 - 5) ** 2)


def test_sr_dpo_by_hand() -> None:
    loss = sr_dpo_loss(*_tensors([-10, -14, -12, -13]), beta=0.1, delta=torch.tensor([0.5]), lam=0.4)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-(0.3 - 0.2))))


def test_sr_ipo_by_hand() -> None:
    loss = sr_ipo_loss(*_tensors([-10, -14, -12, -13]), beta=0.1, delta=torch.tensor([0.5]), lam=0.4)
    assert loss.item() == pytest.approx((3 - 0.2 - 5) ** 2)


def test_delta_by_hand() -> None:
    assert refinement_delta(*_tensors([-10, -14, -12, -13]), beta=0.1).item() == pytest.approx(0.3)


@given(LOGPS, BETAS, st.floats(-5, 5))
def test_without_lambda_the_refined_losses_are_the_plain_ones(values: list[float], beta: float, delta: float) -> None:
    four, refinement = _tensors(values), torch.tensor([delta], dtype=torch.float64)
    assert torch.equal(sr_dpo_loss(*four, beta=beta, delta=refinement, lam=0), dpo_loss(*four, beta=beta))
    assert torch.equal(sr_ipo_loss(*four, beta=beta, delta=refinement, lam=0), ipo_loss(*four, beta=beta))


@given(LOGPS, BETAS, st.floats(0, 0.9))
def test_the_naive_delta_only_rescales_beta(values: list[float], beta: float, lam: float) -> None:
    """With Δ computed on x itself, SR-DPO is DPO with β(1 - λ) (Yu et al., 2024, eq. 10)."""
    four = _tensors(values)
    naive = refinement_delta(*four, beta=beta)
    refined = sr_dpo_loss(*four, beta=beta, delta=naive, lam=lam)
    torch.testing.assert_close(refined, dpo_loss(*four, beta=beta * (1 - lam)))


@given(st.lists(st.floats(-40, 0), min_size=6, max_size=6), BETAS)
def test_delta_is_a_difference_of_distances_to_the_best_response(values: list[float], beta: float) -> None:
    """Δ(y⁻, y⁺) = Δ(y⁻, y*) - Δ(y⁺, y*) (Yu et al., 2024, proposition 3.3 (i))."""
    plus, minus, best, ref_plus, ref_minus, ref_best = _tensors(values)
    whole = refinement_delta(plus, minus, ref_plus, ref_minus, beta=beta)
    from_minus = refinement_delta(best, minus, ref_best, ref_minus, beta=beta)
    from_plus = refinement_delta(best, plus, ref_best, ref_plus, beta=beta)
    torch.testing.assert_close(whole, from_minus - from_plus)


@pytest.mark.parametrize("loss", [dpo_loss, ipo_loss])
def test_gradients_agree_with_finite_differences(loss: object) -> None:
    inputs = [torch.randn(5, dtype=torch.float64, requires_grad=True) for _ in range(4)]
    assert torch.autograd.gradcheck(lambda *four: loss(*four, beta=0.3), inputs)  # type: ignore[operator]


@pytest.mark.parametrize("loss", [sr_dpo_loss, sr_ipo_loss])
def test_no_gradient_flows_through_delta(loss: object) -> None:
    inputs = [torch.randn(5, dtype=torch.float64, requires_grad=True) for _ in range(4)]
    delta = torch.randn(5, dtype=torch.float64, requires_grad=True)
    loss(*inputs, beta=0.3, delta=delta, lam=0.5).sum().backward()  # type: ignore[operator]
    assert delta.grad is None
    fixed = delta.detach()
    assert torch.autograd.gradcheck(lambda *four: loss(*four, beta=0.3, delta=fixed, lam=0.5), inputs)  # type: ignore[operator]


def test_a_stopped_delta_is_a_shift_of_the_reference() -> None:
    chosen, rejected, ref_chosen, ref_rejected, delta = (torch.randn(6, dtype=torch.float64) for _ in range(5))
    beta, lam = 0.2, 0.7
    torch.testing.assert_close(
        sr_dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=beta, delta=delta, lam=lam),
        dpo_loss(chosen, rejected, ref_chosen + lam / beta * delta, ref_rejected, beta=beta),
    )
    torch.testing.assert_close(
        sr_ipo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=beta, delta=delta, lam=lam),
        ipo_loss(chosen, rejected, ref_chosen + lam * delta, ref_rejected, beta=beta),
    )
