"""Communication between the processes that train one model; a single process is the usual case."""

from __future__ import annotations

from typing import Any, TypeVar

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from training.trainers.loading import use_cpu

Value = TypeVar("Value")


def state() -> PartialState:
    """Return the state of this process, such as ``num_processes`` and ``is_main_process``."""
    return PartialState(cpu=use_cpu())


def agreed(value: Value) -> Value:
    """Return the first process's value in all processes. It must be picklable."""
    if state().num_processes == 1:
        return value
    values = [value]
    broadcast_object_list(values, from_process=0)
    return values[0]


def joined(parts: dict[Any, Value]) -> dict[Any, Value]:
    """Return the merged entries of all processes in each of them."""
    if state().num_processes == 1:
        return parts
    whole: dict[Any, Value] = {}
    for part in gather_object([parts]):
        whole |= part
    return whole
