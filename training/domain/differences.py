"""Word diff of two responses."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

#: A piece of text, and whether it is missing on the other side.
Segment = tuple[str, bool]

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
MAX_WORDS = 4000


def differences(left: str, right: str) -> tuple[list[Segment], list[Segment]]:
    """Split both texts into segments that are equal or differ. The joined segments are the original texts.

    Texts of more than :data:`MAX_WORDS` words together are compared by line, to limit the time.
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
    """Append text, merging it with a previous segment of the same kind. Whitespace alone is not a difference."""
    if not text:
        return
    differs = differs and not text.isspace()
    if segments and segments[-1][1] == differs:
        segments[-1] = (segments[-1][0] + text, differs)
    else:
        segments.append((text, differs))
