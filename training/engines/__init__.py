"""What generates text: one small interface (``base.Engine``), one module an implementation.

:func:`create_engine` imports an implementation only when it is asked for, so a worker needs only what it uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from training.config import RunConfig
from training.domain.secret import Secret
from training.engines.base import Engine, EngineError

Kind = Literal["transformers", "vllm", "openai_compatible", "gemini", "checkpoint", "oracle"]

_PACKAGES = {
    "transformers": ("transformers", "make install"),
    "checkpoint": ("transformers", "make install"),
    "vllm": ("vllm", "make install-vllm"),
    "openai_compatible": ("openai", "make install EXTRAS=openai"),
    "gemini": ("google.genai", "make install EXTRAS=gemini"),
}


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """All that an engine is made from; equal specs make equal engines, so one can be kept for several stages."""

    kind: Kind
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
    key: Secret | None = None


def student_spec(config: RunConfig, model: str) -> EngineSpec:
    """The student's engine for the checkpoint at ``model``."""
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


def teacher_spec(config: RunConfig) -> EngineSpec:
    """The teacher's engine. Raises :class:`EngineError` where the run has no teacher."""
    teacher = config.teacher
    if teacher.kind == "none":
        raise EngineError("This run has no teacher. Set teacher.kind, or choose the paradigm self_reward.")
    return EngineSpec(
        kind=teacher.kind,
        model=teacher.model,
        base_url=teacher.base_url,
        batch_size=config.engine.batch_size,
        max_length=config.student.max_length,
        concurrency=teacher.concurrency,
        timeout=teacher.timeout,
        system=teacher.system,
        safety=teacher.safety,
    )


def create_engine(spec: EngineSpec) -> Engine:
    """Start the engine. Raises :class:`EngineError` naming the remedy where a package, a key or a model is missing."""
    _require_package(spec.kind)
    match spec.kind:
        case "transformers" | "checkpoint":
            from training.engines.transformers_engine import TransformersEngine

            return TransformersEngine(
                spec.model,
                name=spec.kind,
                batch_size=spec.batch_size,
                dtype=spec.dtype,
                max_length=spec.max_length,
                trust_remote_code=spec.trust_remote_code,
            )
        case "vllm":
            from training.engines.vllm_engine import VLLMEngine

            return VLLMEngine(
                spec.model,
                dtype=spec.dtype,
                max_length=spec.max_length,
                tensor_parallel=spec.tensor_parallel,
                trust_remote_code=spec.trust_remote_code,
            )
        case "openai_compatible":
            from training.engines.openai_compatible import OpenAICompatibleEngine

            return OpenAICompatibleEngine(
                spec.model,
                spec.base_url,
                key=spec.key,
                system=spec.system,
                timeout=spec.timeout,
                concurrency=spec.concurrency,
            )
        case "gemini":
            from training.engines.gemini import GeminiEngine

            return GeminiEngine(
                spec.model,
                key=spec.key,
                base_url=spec.base_url,
                system=spec.system,
                safety=spec.safety,
                timeout=spec.timeout,
                concurrency=spec.concurrency,
            )
        case "oracle":
            from training.engines.oracle import OracleEngine

            return OracleEngine()
    raise EngineError(f"There is no engine {spec.kind!r}. Choose one of {', '.join([*_PACKAGES, 'oracle'])}.")


def _require_package(kind: str) -> None:
    if kind not in _PACKAGES:
        return
    package, remedy = _PACKAGES[kind]
    try:
        found = find_spec(package) is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        raise EngineError(f"The engine {kind} needs the package {package}, which is not installed. Run: {remedy}")
