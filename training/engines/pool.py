"""Keeps an engine for as long as stages ask for the same one, so that its start-up is paid once."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

from training.config import RunConfig
from training.domain.secret import Secret
from training.engines import EngineSpec, create_engine, student_spec, teacher_spec
from training.engines.base import Engine


class EnginePool:
    """At most one student and one teacher at a time: a new one takes the place, and the memory, of the one before."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[EngineSpec, Engine]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()

    def let_go(self) -> None:
        """Close every engine, so that a training has the memory."""
        for role in list(self._held):
            self._release(role)

    def student(self, config: RunConfig, model: str, key: Secret | None = None) -> Engine:
        """The engine of the student's weights at ``model``."""
        return self._hold("student", replace(student_spec(config, model), key=key))

    def teacher(self, config: RunConfig, model: str, key: Secret | None = None) -> Engine:
        """The teacher's engine; ``model`` is its resolved name or path."""
        return self._hold("teacher", replace(teacher_spec(config), model=model, key=key))

    def _hold(self, role: str, spec: EngineSpec) -> Engine:
        if role in self._held and self._held[role][0] == spec:
            return self._held[role][1]
        self._release(role)
        engine = create_engine(spec)
        self._held[role] = (spec, engine)
        return engine

    def _release(self, role: str) -> None:
        if held := self._held.pop(role, None):
            held[1].close()
