"""Cache of engines, so that consecutive stages share one engine instead of restarting it."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

from training.config import ModelRole, RunConfig
from training.domain.engine_kinds import ENGINES
from training.domain.secret import Secret
from training.engines import EngineSpec, create_engine, model_spec, student_spec
from training.engines.base import Engine


class EnginePool:
    """Holds at most one student, and one other model with weights; a new one replaces it and frees its memory.

    A remote model needs no memory, so each section of the config keeps its own.
    """

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

    def model(self, config: RunConfig, role: ModelRole, model: str, key: Secret | None = None) -> Engine:
        """Return the engine of the section ``role``. ``model`` is its resolved name or path."""
        spec = replace(model_spec(config, role), model=model, key=key)
        return self._hold("model" if ENGINES[spec.kind].loads_weights else role, spec)

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
