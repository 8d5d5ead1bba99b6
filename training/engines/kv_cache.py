"""A preallocated key-value cache, so that a decode step writes one position and copies nothing."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class _PreallocatedLayer(DynamicLayer):
    """A full-attention layer of ``capacity`` positions. Keys and values: (rows, heads, positions, head size)."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0
        self.states: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write the new positions and return all positions so far."""
        if self.states is None:
            self.lazy_initialization(key_states, value_states)
            self.states = self._empty(key_states), self._empty(value_states)
        keys, values = self.states
        end = self.length + key_states.shape[-2]
        keys[:, :, self.length : end] = key_states
        values[:, :, self.length : end] = value_states
        self.length = end
        return keys[:, :, :end], values[:, :, :end]

    def get_seq_length(self) -> int:
        """Return the number of positions written so far."""
        return self.length

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Select the rows of ``beam_idx``, in that order; rows may be repeated."""
        if self.states is not None:
            self.states = self._select_rows(self.states[0], beam_idx), self._select_rows(self.states[1], beam_idx)

    def _empty(self, states: Tensor) -> Tensor:
        rows, heads, _, size = states.shape
        return states.new_empty((rows, heads, self.capacity, size))

    def _select_rows(self, states: Tensor, rows: Tensor) -> Tensor:
        selected = states.new_empty((len(rows), *states.shape[1:]))
        selected[:, :, : self.length] = states[rows, :, : self.length]
        return selected


def preallocated_cache(config: Any, capacity: int) -> DynamicCache:
    """Return the model's cache with ``capacity`` preallocated positions per full-attention layer; others unchanged."""
    cache = DynamicCache(config=config)
    cache.layers = [_PreallocatedLayer(capacity) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
