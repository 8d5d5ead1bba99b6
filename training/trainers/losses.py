"""The DPO family as pure functions of log-probabilities.

Every log-probability has shape (batch,), is in nats and is the **sum** over the completion's tokens. Every loss is
returned per pair, shape (batch,), to be averaged by the caller.
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
    """-log σ(β·h), h the difference of log-ratios (003 eq. 5, 000 eq. 1)."""
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
    """(h - 1/(2β))² (003 eq. 8), with summed log-probabilities as in the paper."""
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
    """-log σ(β·h - λ·⊥[Δ]) (003 eq. 13, algorithm 1). ``delta``: shape (batch,); no gradient flows through it."""
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
    """(h - λ·⊥[Δ] - 1/(2β))² (003 eq. 15, algorithm 2). ``delta``: shape (batch,); no gradient flows through it."""
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
    """Δ_π(y⁻, y⁺; x) = β·h on the augmented query p⊕x (003 eq. 12), shape (batch,).

    All four log-probabilities are those of the responses given p⊕x, summed over the completion's tokens.
    """
    return beta * _log_ratio_difference(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )


def loss_function(spec: LossSpec) -> Callable[..., Tensor]:
    """The function of this module that computes a loss which TRL does not."""
    function: Callable[..., Tensor] = globals()[spec.function]
    return function
