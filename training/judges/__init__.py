"""The judges that come with Plumbline: one YAML file each, read once. People add their own in the record."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from training.domain.judges import Judge, JudgeError, judge_from_data
from training.domain.yaml_errors import yaml_problem

FOLDER = Path(__file__).parent
#: What a run takes where nobody chose.
SCORING, COMPARING = "additive_5", "pairwise"


def read_judge(text: str, *, version: int = 1) -> Judge:
    """A judge from a YAML document. Raises :class:`JudgeError` with every problem, each on its field."""
    if len(text) > 100_000:
        raise JudgeError([("", "the document is too long; a judge has at most 100,000 characters")])
    try:
        data = yaml.load(text, Loader=_Plain)  # a safe loader without aliases
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise JudgeError([("", yaml_problem(error))]) from None
    return judge_from_data(data, version=version)


def write_judge(judge: Judge) -> str:
    """The YAML document that :func:`read_judge` reads back to an equal judge."""
    return yaml.dump(judge.as_data(), Dumper=_Readable, sort_keys=False, allow_unicode=True, width=10_000)


@cache
def builtin() -> dict[str, Judge]:
    """The judges in this folder by name."""
    found = [read_judge(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.yaml"))]
    return {judge.name: judge for judge in found}


def get(name: str) -> Judge:
    """A judge of this folder. Raises :class:`ValueError` that lists the names there are."""
    try:
        return builtin()[name]
    except KeyError:
        raise ValueError(f"there is no judge {name!r}; choose one of {', '.join(builtin())}") from None


class _Plain(yaml.SafeLoader):
    """Plain data without aliases: a few nested ones can stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it holds an alias (*name); write the value out")
        return super().compose_node(parent, index)


class _Readable(yaml.SafeDumper):
    """Text of several lines as a block, so that a prompt reads as it will be sent."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Readable.add_representer(str, _text)
