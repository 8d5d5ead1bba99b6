"""The processes that train one model together, and what they must agree on; one process alone is the usual case."""

from __future__ import annotations

from typing import Any, TypeVar

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from training.trainers.loading import use_cpu

Value = TypeVar("Value")


def state() -> PartialState:
    """Who this process is: ``num_processes``, ``process_index``, ``is_main_process``, ``wait_for_everyone``."""
    return PartialState(cpu=use_cpu())


def agreed(value: Value) -> Value:
    """The first process's value, in all of them. It must be picklable."""
    if state().num_processes == 1:
        return value
    values = [value]
    broadcast_object_list(values, from_process=0)
    return values[0]


def joined(parts: dict[Any, Value]) -> dict[Any, Value]:
    """The entries of every process, in all of them."""
    if state().num_processes == 1:
        return parts
    whole: dict[Any, Value] = {}
    for part in gather_object([parts]):
        whole |= part
    return whole
