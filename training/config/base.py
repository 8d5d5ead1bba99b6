"""Base class of the config sections, and the validation error."""

from __future__ import annotations

from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from training.domain.yaml_errors import yaml_problem

Probability = Annotated[float, Field(gt=0, le=1)]
Temperature = Annotated[float, Field(ge=0, le=2)]

GRADIENT_CHECKPOINTING = "Recompute activations in the backward pass: much less memory, about a third more time."


class ConfigError(ValueError):
    """An invalid config. ``problems`` is a list of (dotted field, message); the field is "" for the whole config."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{field}: {text}" if field else text for field, text in problems))


class Section(BaseModel):
    """A section of the config. Unknown fields are errors; instances are immutable."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, str_strip_whitespace=True, allow_inf_nan=False
    )


def read_yaml(text: str) -> Any:
    """Parse YAML with the safe loader. Raises :class:`ConfigError` with line and column if it is invalid."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError([("", yaml_problem(error))]) from None
