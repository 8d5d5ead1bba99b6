"""What generates text: one entry for each kind of engine and teacher, which everything else reads.

To add a kind, write its class in :mod:`training.engines` and its entry in :data:`_ENTRIES`; where it needs a package,
add that as an extra to ``pyproject.toml``. Nothing here imports an engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Provider:
    """Who answers a remote engine.

    ``address`` is used where the config names none. ``key_variables`` are the environment's keys, the first one set
    counts; ``address_variable`` names the address that they are bound to. ``needs_key``: without a key it never
    answers. A stored key is tested by the engine's ``count_models``.
    """

    label: str
    address: str
    key_variables: tuple[str, ...]
    address_variable: str
    needs_key: bool = False


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """One kind of engine.

    ``name`` is what a config says, ``label`` what a form shows. ``for_student`` and ``for_teacher``: the roles that a
    config may give it. ``implementation`` is ``module:class``; empty: there is no engine. ``arguments`` are the fields
    of :class:`training.engines.EngineSpec` that the class takes. ``package``, ``distribution`` and ``remedy``: what it
    imports, the name under which that is installed, and how to install it.

    ``engine_fields`` and ``teacher_fields`` are the fields of those sections of the config that have an effect with
    this kind only; ``required`` are those of them that must not be empty.

    ``provider`` makes it remote: a stage waits for it on a queue of its own, what it uses is counted and may be paid
    for, and it may need a key. ``loads_weights``: it runs a model on this machine. ``writes_prompts``: it can write new
    prompts. ``knows_answers``: its highest score means a right answer. ``batches_continuously``: it starts a request as
    soon as another one ends. ``without_gpu`` is what a launch warns of on a machine without a GPU.
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
    batches_continuously: bool = False
    without_gpu: str = ""

    @property
    def is_remote(self) -> bool:
        """Whether it answers over a network. What a remote engine uses is counted and may be paid for."""
        return self.provider is not None


_PAID = (
    "model", "base_url", "key", "concurrency", "timeout", "system", "budget_tokens", "budget_usd", "prompt_price",
    "completion_price",
)  # fmt: skip
_REMOTE = ("model", "base_url", "key", "system", "timeout", "concurrency")
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
        without_gpu="vLLM on a CPU starts slowly and is no faster for small models.",
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
#: By the kind of engine that sends their keys.
PROVIDERS: Final[Mapping[str, Provider]] = {entry.name: entry.provider for entry in _ENTRIES if entry.provider}
#: Fields that have an effect with some kinds only.
ENGINE_FIELDS: Final = tuple(dict.fromkeys(name for entry in _ENTRIES for name in entry.engine_fields))
TEACHER_FIELDS: Final = tuple(dict.fromkeys(name for entry in _ENTRIES for name in entry.teacher_fields))


def is_remote(kind: str) -> bool:
    """Whether an engine or a teacher of this kind answers over a network; false for a kind that no longer exists."""
    return kind in ENGINES and ENGINES[kind].is_remote


def provider_choices() -> list[tuple[str, str]]:
    """The providers that a key may be of, with their labels, by label."""
    return sorted(((name, provider.label) for name, provider in PROVIDERS.items()), key=lambda choice: choice[1])


def key_variables() -> list[str]:
    """The environment's variable for each provider's key, by the provider's label."""
    return [PROVIDERS[name].key_variables[0] for name, _ in provider_choices()]
