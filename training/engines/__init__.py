"""Text generation: the interface ``base.Engine`` and one module per implementation.

The kinds are registered in :mod:`training.domain.engine_kinds`. :func:`create_engine` imports an implementation on
first use, so a worker needs only the packages of the engines it uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from training.config import ModelRole, RunConfig
from training.domain.engine_kinds import ENGINES, EngineEntry
from training.domain.secret import Secret
from training.engines.base import Engine, EngineError


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """All settings of an engine. Equal specs give equal engines, so an engine can be reused between stages."""

    kind: str
    model: str = ""
    base_url: str = ""
    batch_size: int = 64
    dtype: str = "auto"
    max_length: int = 1024
    tensor_parallel: int = 1
    concurrency: int = 4
    trust_remote_code: bool = False
    timeout: float = 120
    system: str = ""
    safety: str = ""
    reasoning_tokens: int = 0
    key: Secret | None = None

    @property
    def name(self) -> str:
        """The kind, for engine classes that serve several kinds."""
        return self.kind


def student_spec(config: RunConfig, model: str) -> EngineSpec:
    """Return the spec of the student's engine for the checkpoint at ``model``."""
    return EngineSpec(
        kind=config.engine.kind,
        model=model,
        base_url=config.engine.base_url,
        batch_size=config.engine.batch_size,
        concurrency=config.engine.batch_size,
        dtype=config.student.dtype,
        max_length=config.student.max_length,
        tensor_parallel=config.engine.tensor_parallel,
        trust_remote_code=config.student.trust_remote_code,
    )


def model_spec(config: RunConfig, role: ModelRole = "teacher") -> EngineSpec:
    """Return the spec of the engine of a model that judges or demonstrates.

    Raises :class:`EngineError` if the section ``role`` names no model.
    """
    section = config.model_of(role)
    if not section.exists:
        remedy = " or choose the paradigm self_reward" if role == "teacher" else ""
        raise EngineError(f"This run has no {role.replace('_', ' ')}. Set {role}.kind{remedy}.")
    return EngineSpec(
        kind=section.kind,
        model=section.model,
        base_url=section.base_url,
        batch_size=config.engine.batch_size,
        max_length=config.student.max_length,
        concurrency=section.concurrency,
        timeout=section.timeout,
        system=section.system,
        safety=section.safety,
        reasoning_tokens=section.reasoning_tokens,
    )


def create_engine(spec: EngineSpec) -> Engine:
    """Start the engine. Raises :class:`EngineError` if a package, a key or a model is missing."""
    entry = _entry(spec.kind)
    engine: Engine = engine_class(spec.kind)(**{name: getattr(spec, name) for name in entry.arguments})
    return engine


def engine_class(kind: str) -> Any:
    """Return the class of an engine kind. Raises :class:`EngineError` if its package is not installed."""
    entry = _entry(kind)
    _require_package(entry)
    module, _, name = entry.implementation.partition(":")
    return getattr(import_module(module), name)


def _entry(kind: str) -> EngineEntry:
    entry = ENGINES.get(kind)
    if entry is None or not entry.implementation:
        known = ", ".join(name for name, one in ENGINES.items() if one.implementation)
        raise EngineError(f"There is no engine {kind!r}. Choose one of {known}.")
    return entry


def _require_package(entry: EngineEntry) -> None:
    if not entry.package:
        return
    try:
        is_installed = find_spec(entry.package) is not None
    except ModuleNotFoundError:
        is_installed = False
    if not is_installed:
        raise EngineError(
            f"The engine {entry.name} needs the package {entry.package}, which is not installed. Run: {entry.remedy}"
        )
