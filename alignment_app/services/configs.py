"""Build a :class:`RunConfig` from a preset, a YAML document or JSON; shared by all entry points."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from yaml import YAMLError, scan
from yaml.tokens import AliasToken

from training.config import ConfigError, RunConfig, preset_data, read_yaml, with_overrides

MAX_YAML = 256 * 1024  # characters
MAX_DEPTH = 8
MAX_OVERRIDES = 500
MAX_OVERRIDE = 10_000  # characters


def build_config(
    *,
    data: Any = None,
    yaml: str | None = None,
    preset: str = "",
    overrides: Sequence[str] = (),
    name: str = "",
) -> RunConfig:
    """Build a config from one of ``data`` (decoded JSON), ``yaml`` and ``preset``, plus overrides.

    Overrides have the form ``section.field=value``. Raises :class:`ConfigError` with all problems by field.
    """
    given = [
        kind for kind, value in (("config", data), ("yaml", yaml), ("preset", preset or None)) if value is not None
    ]
    if len(given) != 1:
        what = "only one of them" if given else "one of them"
        raise ConfigError([("", f"give {what}: a config, a YAML document or a preset")])
    if yaml is not None:
        data = _yaml(yaml)
    elif preset:
        data = preset_data(preset)
    if not isinstance(data, Mapping):
        raise ConfigError([("", "the config must be a mapping of fields; see any preset for an example")])
    _check_plain(data, "", MAX_DEPTH)
    if len(overrides) > MAX_OVERRIDES:
        raise ConfigError([("", f"{len(overrides)} overrides are too many; use a YAML document")])
    for override in overrides:
        if len(override) > MAX_OVERRIDE:
            raise ConfigError([("", f"the override {override[:40]!r} is too long; use a YAML document")])
        _refuse_aliases(override.partition("=")[2], override.partition("=")[0])
    if overrides:
        data = with_overrides(dict(data), list(overrides))
        _check_plain(data, "", MAX_DEPTH)
    if name:
        data = {**data, "name": name}
    return RunConfig.parse(dict(data))


def _yaml(text: str) -> Any:
    if len(text) > MAX_YAML:
        raise ConfigError([("", f"the document is too large; at most {MAX_YAML // 1024} KiB are allowed")])
    if not text.strip():
        raise ConfigError([("", "the document is empty; see any preset for an example")])
    _refuse_aliases(text, "")
    return read_yaml(text)


def _refuse_aliases(text: str, field: str) -> None:
    """Raise :class:`ConfigError` for YAML aliases: a few nested aliases can expand to gigabytes."""
    if "*" not in text:
        return
    try:
        aliased = any(isinstance(token, AliasToken) for token in scan(text))
    except (YAMLError, RecursionError):
        return  # read_yaml reports the position
    if aliased:
        raise ConfigError([(field, "contains a YAML alias (*name); write out the value")])


def _check_plain(value: Any, field: str, depth: int) -> None:
    """Raise :class:`ConfigError` for values that JSON cannot represent, or that are nested too deep."""
    if depth < 0:
        raise ConfigError([(field, "is nested too deep")])
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ConfigError([(field, f"the field name {str(key)[:40]!r} is not text; put it in quotation marks")])
            _check_plain(item, f"{field}.{key[:80]}" if field else key[:80], depth - 1)
    elif isinstance(value, list | tuple):
        if len(value) > 1000:
            raise ConfigError([(field, f"has {len(value)} entries; at most 1000 are allowed")])
        for number, item in enumerate(value):
            _check_plain(item, f"{field}.{number}", depth - 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError([(field, "must be a finite number")])
    elif isinstance(value, str):
        if "\x00" in value:
            raise ConfigError([(field, "contains a NUL character; remove it")])
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ConfigError([(field, "is not valid Unicode text")]) from None
    elif not (value is None or isinstance(value, bool | int | float)):
        raise ConfigError([(field, f"YAML reads this as a {type(value).__name__}; put it in quotation marks")])
