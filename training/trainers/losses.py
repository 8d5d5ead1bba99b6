"""Losses of the DPO family as pure functions of log-probabilities.

Log-probabilities have shape (batch,), are in nats and are **summed** over the tokens of the completion. Losses have
shape (batch,), one per pair; the caller averages them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from training.domain.loss_specs import LossSpec


def _log_ratio_difference(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
) -> Tensor:
    """log π(y⁺|x)/π_ref(y⁺|x) - log π(y⁻|x)/π_ref(y⁻|x), shape (batch,)."""
    return (policy_chosen_logps - reference_chosen_logps) - (policy_rejected_logps - reference_rejected_logps)


def dpo_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float,
) -> Tensor:
    """Return -log σ(β·h), h the difference of log-ratios (Yu et al., 2024, equation 5; Luo et al., equation 1)."""
    h = _log_ratio_difference(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    return -F.logsigmoid(beta * h)


def ipo_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float,
) -> Tensor:
    """Return (h - 1/(2β))², with summed log-probabilities as in the paper (Yu et al., 2024, equation 8)."""
    h = _log_ratio_difference(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    return (h - 1 / (2 * beta)) ** 2


def sr_dpo_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float,
    delta: Tensor,
    lam: float,
) -> Tensor:
    """Return -log σ(β·h - λ·⊥[Δ]) (Yu et al., 2024, equation 13, algorithm 1).

    ``delta`` has shape (batch,) and is detached: no gradient flows through it.
    """
    h = _log_ratio_difference(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    return -F.logsigmoid(beta * h - lam * delta.detach())


def sr_ipo_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float,
    delta: Tensor,
    lam: float,
) -> Tensor:
    """Return (h - λ·⊥[Δ] - 1/(2β))² (Yu et al., 2024, equation 15, algorithm 2).

    ``delta`` has shape (batch,) and is detached: no gradient flows through it.
    """
    h = _log_ratio_difference(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    return (h - lam * delta.detach() - 1 / (2 * beta)) ** 2


def refinement_delta(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    *,
    beta: float,
) -> Tensor:
    """Return Δ_π(y⁻, y⁺; x) = β·h on the augmented query p⊕x, shape (batch,) (Yu et al., 2024, equation 12).

    The log-probabilities are those of the responses given p⊕x.
    """
    return beta * _log_ratio_difference(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )


def loss_function(spec: LossSpec) -> Callable[..., Tensor]:
    """Return the function that computes a loss which TRL does not provide."""
    function: Callable[..., Tensor] = globals()[spec.function]
    return function
