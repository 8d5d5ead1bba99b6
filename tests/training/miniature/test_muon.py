"""Muon in float32 against PyTorch's, which orthogonalizes in bfloat16."""

from __future__ import annotations

import pytest
import torch

from training.miniature.muon import Muon, orthogonalized

SHAPES = [(16, 16), (48, 16), (16, 48), (48, 16)]


def _matrices() -> list[torch.nn.Parameter]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(*shape) * 0.02) for shape in SHAPES]


def test_the_updates_are_those_of_pytorch_within_the_precision_of_bfloat16() -> None:
    theirs, ours = _matrices(), _matrices()
    optimizers = [torch.optim.Muon(theirs, lr=1e-2, weight_decay=0.0), Muon(ours, lr=1e-2)]
    for step in range(5):
        for matrices in (theirs, ours):
            torch.manual_seed(step + 1)
            for matrix in matrices:
                matrix.grad = torch.randn_like(matrix)
        for optimizer in optimizers:
            optimizer.step()
    for one, other, start in zip(theirs, ours, _matrices(), strict=True):
        moved = (one - start).norm()
        assert (one - other).norm() < 0.02 * moved


@pytest.mark.parametrize("shape", SHAPES)
def test_the_update_of_a_matrix_is_close_to_orthogonal(shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    update = orthogonalized(torch.randn(1, *shape))[0]
    values = torch.linalg.svdvals(update)
    assert update.shape == shape
    assert values.min() > 0.6
    assert values.max() < 1.25
