"""Registry of the kinds of engines and teachers.

To add a kind, write its class in :mod:`training.engines` and its entry in :data:`_ENTRIES`. If it needs a package, add
that as an extra in ``pyproject.toml``. This module imports no engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Provider:
    """The service behind a remote engine.

    Attributes:
        address: the default address.
        key_variables: environment variables with an API key; the first one that is set is used.
        address_variable: environment variable with the address for which these keys are valid.
        needs_key: whether the service refuses requests without a key.

    A stored key is tested by the engine's ``count_models``.
    """

    label: str
    address: str
    key_variables: tuple[str, ...]
    address_variable: str
    needs_key: bool = False


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """One kind of engine.

    Attributes:
        name: the value in a config.
        label: the name in forms.
        implementation: ``module:class``; empty if there is no engine.
        for_student, for_teacher: the roles that a config may assign to it.
        arguments: the fields of :class:`training.engines.EngineSpec` that the class takes.
        package, distribution, remedy: the package that it imports, its name on the package index, and the command
            that installs it.
        engine_fields, teacher_fields: fields of these config sections that only some kinds use, among them this one.
        required: those of them that must not be empty.
        provider: set for a remote engine, which has its own queue, metered usage and maybe an API key.
        loads_weights: whether it runs a model on this machine.
        writes_prompts: whether it can write new prompts.
        knows_answers: whether its highest score means a correct answer.
        verifies: whether it applies the checks of a prompt, and neither reads a judge prompt nor writes text.
        batches_continuously: whether it starts a new request as soon as another one ends.
        without_gpu: the launch warning on a machine without a GPU.
    """

    name: str
    label: str
    implementation: str = ""
    for_student: bool = False
    for_teacher: bool = False
    arguments: tuple[str, ...] = ()
    package: str = ""
    distribution: str = ""
    remedy: str = ""
    engine_fields: tuple[str, ...] = ()
    teacher_fields: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    provider: Provider | None = None
    loads_weights: bool = False
    writes_prompts: bool = True
    knows_answers: bool = False
    verifies: bool = False
    batches_continuously: bool = False
    without_gpu: str = ""

    @property
    def is_remote(self) -> bool:
        """Whether it is called over a network, with metered usage."""
        return self.provider is not None


_PAID = (
    "model", "base_url", "key", "concurrency", "timeout", "system", "budget_tokens", "budget_usd", "prompt_price",
    "completion_price", "reasoning_tokens",
)  # fmt: skip
_REMOTE = ("model", "base_url", "key", "system", "timeout", "concurrency", "reasoning_tokens")
_WEIGHTS = ("model", "dtype", "max_length", "trust_remote_code")

_ENTRIES = (
    EngineEntry("none", "none", for_teacher=True, writes_prompts=False),
    EngineEntry(
        "oracle",
        "the miniature's oracle",
        "training.engines.oracle:OracleEngine",
        for_teacher=True,
        writes_prompts=False,
        knows_answers=True,
    ),
    EngineEntry(
        "verifier",
        "a program: the checks of each prompt",
        for_teacher=True,
        writes_prompts=False,
        knows_answers=True,
        verifies=True,
    ),
    EngineEntry(
        "transformers",
        "transformers, in process",
        "training.engines.transformers_engine:TransformersEngine",
        for_student=True,
        arguments=(*_WEIGHTS, "name", "batch_size"),
        package="transformers",
        distribution="transformers",
        remedy="make install",
        loads_weights=True,
    ),
    EngineEntry(
        "vllm",
        "vLLM",
        "training.engines.vllm_engine:VLLMEngine",
        for_student=True,
        arguments=(*_WEIGHTS, "tensor_parallel"),
        package="vllm",
        distribution="vllm",
        remedy="make install-vllm",
        engine_fields=("tensor_parallel",),
        loads_weights=True,
        batches_continuously=True,
        without_gpu="vLLM on a CPU starts slowly and is not faster for small models.",
    ),
    EngineEntry(
        "checkpoint",
        "a model here or on a hub",
        "training.engines.transformers_engine:TransformersEngine",
        for_teacher=True,
        arguments=(*_WEIGHTS, "name", "batch_size"),
        package="transformers",
        distribution="transformers",
        remedy="make install",
        teacher_fields=("model",),
        required=("model",),
        loads_weights=True,
    ),
    EngineEntry(
        "openai_compatible",
        "an OpenAI-compatible server",
        "training.engines.openai_compatible:OpenAICompatibleEngine",
        for_student=True,
        for_teacher=True,
        arguments=_REMOTE,
        package="openai",
        distribution="openai",
        remedy="make install EXTRAS=openai",
        engine_fields=("base_url", "key"),
        teacher_fields=_PAID,
        required=("model", "base_url"),
        provider=Provider(
            "OpenAI-compatible server", "https://api.openai.com/v1", ("OPENAI_API_KEY",), "OPENAI_BASE_URL"
        ),
    ),
    EngineEntry(
        "gemini",
        "Gemini",
        "training.engines.gemini:GeminiEngine",
        for_teacher=True,
        arguments=(*_REMOTE, "safety"),
        package="google.genai",
        distribution="google-genai",
        remedy="make install EXTRAS=gemini",
        teacher_fields=(*_PAID, "safety"),
        required=("model",),
        provider=Provider(
            "Gemini",
            "https://generativelanguage.googleapis.com",
            ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
            "GOOGLE_GEMINI_BASE_URL",
            needs_key=True,
        ),
    ),
)

ENGINES: Final[Mapping[str, EngineEntry]] = {entry.name: entry for entry in _ENTRIES}
STUDENT_ENGINES: Final = tuple(entry.name for entry in _ENTRIES if entry.for_student)
TEACHERS: Final = tuple(entry.name for entry in _ENTRIES if entry.for_teacher)
#: Providers by kind of engine.
PROVIDERS: Final[Mapping[str, Provider]] = {entry.name: entry.provider for entry in _ENTRIES if entry.provider}
#: Config fields that only some kinds use.
ENGINE_FIELDS: Final = tuple(dict.fromkeys(name for entry in _ENTRIES for name in entry.engine_fields))
TEACHER_FIELDS: Final = tuple(dict.fromkeys(name for entry in _ENTRIES for name in entry.teacher_fields))


def is_remote(kind: str) -> bool:
    """Whether an engine or teacher of this kind is called over a network; false for an unknown kind."""
    return kind in ENGINES and ENGINES[kind].is_remote


def provider_choices() -> list[tuple[str, str]]:
    """Return (name, label) of the providers that take a key, sorted by label."""
    return sorted(((name, provider.label) for name, provider in PROVIDERS.items()), key=lambda choice: choice[1])


def key_variables() -> list[str]:
    """Return the first key variable of each provider, sorted by the provider's label."""
    return [PROVIDERS[name].key_variables[0] for name, _ in provider_choices()]
