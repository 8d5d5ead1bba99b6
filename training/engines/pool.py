"""Cache of engines, so that consecutive stages share one engine instead of restarting it."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

from training.config import RunConfig
from training.domain.secret import Secret
from training.engines import EngineSpec, create_engine, student_spec, teacher_spec
from training.engines.base import Engine


class EnginePool:
    """Holds at most one student and one teacher engine; a new one replaces the previous one and frees its memory."""

    def __init__(self) -> None:
        self._engines: dict[str, tuple[EngineSpec, Engine]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_all()

    def close_all(self) -> None:
        """Close all engines, to free memory for a training."""
        for role in list(self._engines):
            self._release(role)

    def student(self, config: RunConfig, model: str, key: Secret | None = None) -> Engine:
        """Return the engine of the student's weights at ``model``."""
        return self._hold("student", replace(student_spec(config, model), key=key))

    def teacher(self, config: RunConfig, model: str, key: Secret | None = None) -> Engine:
        """Return the teacher's engine. ``model`` is its resolved name or path."""
        return self._hold("teacher", replace(teacher_spec(config), model=model, key=key))

    def _hold(self, role: str, spec: EngineSpec) -> Engine:
        if role in self._engines and self._engines[role][0] == spec:
            return self._engines[role][1]
        self._release(role)
        engine = create_engine(spec)
        self._engines[role] = (spec, engine)
        return engine

    def _release(self, role: str) -> None:
        if entry := self._engines.pop(role, None):
            entry[1].close()
