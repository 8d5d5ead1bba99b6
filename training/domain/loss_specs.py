"""Registry of the preference losses. This module does not import torch.

To add a loss, write its function in ``training/trainers/losses.py`` and its entry in :data:`_ENTRIES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_REFINEMENT = "quality-aware self-refinement paper"
_TRL = "TRL's documentation of DPOTrainer"


@dataclass(frozen=True, slots=True)
class LossSpec:
    """One loss.

    Attributes:
        name: the value in a config.
        label: the name on screens.
        paper: where the loss is defined.
        function: the function in ``training/trainers/losses.py``; empty if TRL computes the loss.
        trl_name, trl_arguments: TRL's ``loss_type``, and arguments for ``DPOConfig``.
        fields: the fields of ``PreferenceConfig`` that the loss uses; the function takes each as a keyword.
        is_refined: whether the function also takes ``delta``, which needs log-probabilities on the augmented prompts
            p⊕x: from the reference once, and from the policy at each step.
        starting_loss: takes β and returns the loss of a policy that equals its reference, if known.
        best_margin: the margin β·h that minimizes the loss, if there is one.
    """

    name: str
    label: str
    paper: str
    function: str = ""
    trl_name: str = ""
    trl_arguments: Mapping[str, Any] = field(default_factory=dict)
    fields: tuple[str, ...] = ("beta",)
    is_refined: bool = False
    starting_loss: Callable[[float], float] | None = None
    best_margin: float | None = None

    @property
    def is_trl(self) -> bool:
        """Whether TRL computes the loss."""
        return bool(self.trl_name)


def _log_2(beta: float) -> float:
    """-log σ(0)."""
    return math.log(2)


def _square(beta: float) -> float:
    """(0 - 1/(2β))²."""
    return 1 / (4 * beta**2)


def _trl(trl_name: str, **more: Any) -> LossSpec:
    name = f"trl:{trl_name}"
    return LossSpec(name, name, _TRL, trl_name=trl_name, **more)


_ENTRIES = (
    LossSpec("dpo", "DPO", f"{_REFINEMENT}, equation 5", "dpo_loss", starting_loss=_log_2),
    LossSpec("ipo", "IPO", f"{_REFINEMENT}, equation 8", "ipo_loss", starting_loss=_square, best_margin=0.5),
    LossSpec(
        "sr_dpo", "Sr-DPO", f"{_REFINEMENT}, equation 13, algorithm 1", "sr_dpo_loss",
        fields=("beta", "lam"), is_refined=True, starting_loss=_log_2,
    ),
    LossSpec(
        "sr_ipo", "Sr-IPO", f"{_REFINEMENT}, equation 15, algorithm 2", "sr_ipo_loss",
        fields=("beta", "lam"), is_refined=True, starting_loss=_square,
    ),
    _trl("sigmoid", starting_loss=_log_2),
    _trl("ipo", starting_loss=_square),
    _trl("hinge"),
    _trl("exo_pair", trl_arguments={"label_smoothing": 1e-3}),  # TRL requires label smoothing above 0
    _trl("nca_pair"),
    _trl("robust", trl_arguments={"label_smoothing": 0.1}),  # at 0 it equals the sigmoid loss
    _trl("bco_pair"),
    _trl("sppo_hard"),
    _trl("aot"),
    _trl("aot_unpaired"),
    _trl("apo_zero"),
    _trl("apo_down"),
    _trl("discopop"),
)  # fmt: skip

LOSSES: Final[Mapping[str, LossSpec]] = {spec.name: spec for spec in _ENTRIES}
#: Fields of ``PreferenceConfig`` that at least one loss uses.
LOSS_FIELDS: Final = tuple(dict.fromkeys(name for spec in _ENTRIES for name in spec.fields))


def loss_label(name: str) -> str:
    """Return the label of a loss; the name itself for a loss that no longer exists."""
    return LOSSES[name].label if name in LOSSES else name
