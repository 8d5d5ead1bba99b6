"""Where two responses differ, word by word."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

#: A run of text and whether the other side lacks it.
Segment = tuple[str, bool]

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
MAX_WORDS = 4000


def differences(left: str, right: str) -> tuple[list[Segment], list[Segment]]:
    """Both texts as segments; joined again they are the texts themselves.

    Very long texts are compared by lines, so that the time stays bounded.
    """
    a, b = _WORDS.findall(left), _WORDS.findall(right)
    if len(a) + len(b) > MAX_WORDS:
        a, b = left.splitlines(keepends=True), right.splitlines(keepends=True)
    marked_left: list[Segment] = []
    marked_right: list[Segment] = []
    for tag, a_from, a_to, b_from, b_to in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        _add(marked_left, "".join(a[a_from:a_to]), tag != "equal")
        _add(marked_right, "".join(b[b_from:b_to]), tag != "equal")
    return marked_left, marked_right


def _add(segments: list[Segment], text: str, differs: bool) -> None:
    """Append, joining with the segment before where it is of the same kind; a lone space is no difference."""
    if not text:
        return
    differs = differs and not text.isspace()
    if segments and segments[-1][1] == differs:
        segments[-1] = (segments[-1][0] + text, differs)
    else:
        segments.append((text, differs))
