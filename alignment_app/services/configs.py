"""A config as people give it (a preset, a YAML document, JSON) made into the one ``RunConfig``, alike at every door."""

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
    """One of ``data`` (decoded JSON), ``yaml`` and ``preset``, with ``section.field=value`` overrides on top.

    Raises :class:`ConfigError` with every problem, each on its field.
    """
    given = [
        kind for kind, value in (("config", data), ("yaml", yaml), ("preset", preset or None)) if value is not None
    ]
    if len(given) != 1:
        what = "only one of them" if given else "one of them"
        raise ConfigError([("", f"a run starts from a config, a YAML document or a preset; give {what}")])
    if yaml is not None:
        data = _yaml(yaml)
    elif preset:
        data = preset_data(preset)
    if not isinstance(data, Mapping):
        raise ConfigError([("", "the config must be a mapping of fields; see any preset for an example")])
    _check_plain(data, "", MAX_DEPTH)
    if len(overrides) > MAX_OVERRIDES:
        raise ConfigError([("", f"{len(overrides)} overrides are too many; write a YAML document")])
    for override in overrides:
        if len(override) > MAX_OVERRIDE:
            raise ConfigError([("", f"the override {override[:40]!r} is too long; write a YAML document")])
        _refuse_aliases(override.partition("=")[2], override.partition("=")[0])
    if overrides:
        data = with_overrides(dict(data), list(overrides))
        _check_plain(data, "", MAX_DEPTH)
    if name:
        data = {**data, "name": name}
    return RunConfig.parse(dict(data))


def _yaml(text: str) -> Any:
    if len(text) > MAX_YAML:
        raise ConfigError([("", f"a config has at most {MAX_YAML // 1024} KiB; this is not one")])
    if not text.strip():
        raise ConfigError([("", "the document is empty; see any preset for an example")])
    _refuse_aliases(text, "")
    return read_yaml(text)


def _refuse_aliases(text: str, field: str) -> None:
    """A config repeats nothing, and a few nested aliases can stand for gigabytes."""
    if "*" not in text:
        return
    try:
        aliased = any(isinstance(token, AliasToken) for token in scan(text))
    except (YAMLError, RecursionError):
        return  # read_yaml says where
    if aliased:
        raise ConfigError([(field, "holds a YAML alias (*name); write the value out")])


def _check_plain(value: Any, field: str, depth: int) -> None:
    """Raise :class:`ConfigError` for what JSON has no word for: dates, infinities, odd keys, endless nesting."""
    if depth < 0:
        raise ConfigError([(field, "is nested too deep for a config")])
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ConfigError([(field, f"the field name {str(key)[:40]!r} is not text; quote it")])
            _check_plain(item, f"{field}.{key[:80]}" if field else key[:80], depth - 1)
    elif isinstance(value, list | tuple):
        if len(value) > 1000:
            raise ConfigError([(field, f"has {len(value)} entries; at most 1000 are read")])
        for number, item in enumerate(value):
            _check_plain(item, f"{field}.{number}", depth - 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError([(field, "must be a finite number")])
    elif isinstance(value, str):
        if "\x00" in value:
            raise ConfigError([(field, "holds a NUL character; remove it")])
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ConfigError([(field, "is not valid Unicode text")]) from None
    elif not (value is None or isinstance(value, bool | int | float)):
        raise ConfigError([(field, f"YAML reads this as a {type(value).__name__}; put it in quotation marks")])
