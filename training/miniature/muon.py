"""Muon in float32 for the small matrices of M0.

``torch.optim.Muon`` orthogonalizes in bfloat16, which CPUs without such instructions emulate: on one with AVX2 only, a
step over the matrices of M0 took 13 times as long as in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any, overload

import torch
from torch import Tensor

#: Coefficients of the quintic iteration, and its number of steps (Jordan et al., 2024, "Muon: An optimizer for hidden
#: layers in neural networks").
_A, _B, _C = 3.4445, -4.7750, 2.0315
_STEPS = 5
_EPSILON = 1e-7


class Muon(torch.optim.Optimizer):
    """Momentum whose update of each matrix is orthogonalized (Jordan et al., 2024), with Nesterov momentum.

    Takes matrices only. The learning rate of a matrix with more rows than columns is multiplied by the square root of
    rows / columns, as in ``torch.optim.Muon``.
    """

    def __init__(self, params: Iterable[Tensor], *, lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update the matrices once. Those of one shape are orthogonalized together."""
        assert closure is None, "the loss is not computed again"
        for group in self.param_groups:
            matrices = [matrix for matrix in group["params"] if matrix.grad is not None]
            for (rows, columns), alike in groupby(sorted(matrices, key=_shape), key=_shape):
                same = list(alike)
                updates = torch.stack([self._momentum(matrix, group) for matrix in same])
                rate = group["lr"] * max(1.0, rows / columns) ** 0.5
                for matrix, update in zip(same, orthogonalized(updates), strict=True):
                    matrix.sub_(update, alpha=rate)
        return None

    def _momentum(self, matrix: Tensor, group: dict[str, Any]) -> Tensor:
        gradient = matrix.grad
        assert gradient is not None
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        average: Tensor = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp(average, group["momentum"])


def _shape(matrix: Tensor) -> tuple[int, int]:
    return matrix.shape[0], matrix.shape[1]


def orthogonalized(matrices: Tensor) -> Tensor:
    """Return approximately U·Vᵀ of each matrix U·S·Vᵀ, shape (matrices, rows, columns), by five quintic steps."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=_EPSILON)
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x.mT if tall else x
