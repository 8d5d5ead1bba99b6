"""A key-value cache that is given its room at the start, so that a decode step writes one place and copies nothing."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class _RoomyLayer(DynamicLayer):
    """A layer of full attention with ``room`` places. Keys and values: (rows, heads, places, head size)."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.length = 0
        self.held: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write the new places and return all places so far."""
        if self.held is None:
            self.lazy_initialization(key_states, value_states)
            self.held = self._empty(key_states), self._empty(value_states)
        keys, values = self.held
        end = self.length + key_states.shape[-2]
        keys[:, :, self.length : end] = key_states
        values[:, :, self.length : end] = value_states
        self.length = end
        return keys[:, :, :end], values[:, :, :end]

    def get_seq_length(self) -> int:
        """Places written so far."""
        return self.length

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Keep the rows of ``beam_idx``, in that order; a row may be taken more than once."""
        if self.held is not None:
            self.held = self._taken(self.held[0], beam_idx), self._taken(self.held[1], beam_idx)

    def _empty(self, states: Tensor) -> Tensor:
        rows, heads, _, size = states.shape
        return states.new_empty((rows, heads, self.room, size))

    def _taken(self, states: Tensor, rows: Tensor) -> Tensor:
        taken = states.new_empty((len(rows), *states.shape[1:]))
        taken[:, :, : self.length] = states[rows, :, : self.length]
        return taken


def roomy_cache(config: Any, room: int) -> DynamicCache:
    """The model's own cache with room for ``room`` places in every layer of full attention; others as ever."""
    cache = DynamicCache(config=config)
    cache.layers = [_RoomyLayer(room) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
