"""Built-in judges, one YAML file each. Judges that people add are stored in the database."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from training.domain.judges import Judge, JudgeError, judge_from_data
from training.domain.yaml_errors import yaml_problem

FOLDER = Path(__file__).parent
#: Default judges of a run.
SCORING, COMPARING = "additive_5", "pairwise"


def read_judge(text: str, *, version: int = 1) -> Judge:
    """Read a judge from YAML. Raises :class:`JudgeError` with all problems, each with its field."""
    if len(text) > 100_000:
        raise JudgeError([("", "must have at most 100,000 characters")])
    try:
        data = yaml.load(text, Loader=_NoAliasLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise JudgeError([("", yaml_problem(error))]) from None
    return judge_from_data(data, version=version)


def write_judge(judge: Judge) -> str:
    """Return YAML that :func:`read_judge` reads into an equal judge."""
    return yaml.dump(judge.as_data(), Dumper=_BlockTextDumper, sort_keys=False, allow_unicode=True, width=10_000)


@cache
def builtin() -> dict[str, Judge]:
    """Return the built-in judges by name."""
    judges = [read_judge(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.yaml"))]
    return {judge.name: judge for judge in judges}


def get(name: str) -> Judge:
    """Return a built-in judge. Raises :class:`ValueError` with the valid names for an unknown one."""
    try:
        return builtin()[name]
    except KeyError:
        raise ValueError(f"unknown judge {name!r}; choose one of {', '.join(builtin())}") from None


class _NoAliasLoader(yaml.SafeLoader):
    """Safe loader that rejects aliases, because nested aliases can expand to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("aliases (*name) are not allowed; repeat the value")
        return super().compose_node(parent, index)


class _BlockTextDumper(yaml.SafeDumper):
    """Dumper that writes multi-line text as a block."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_BlockTextDumper.add_representer(str, _text)
