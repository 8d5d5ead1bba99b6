"""The form of the templates where the formatter alone does not hold it."""

from __future__ import annotations

import re
from pathlib import Path

TEMPLATES = sorted((Path(__file__).resolve().parent.parent / "templates").rglob("*.html"))
LONGEST_LINE = 160
#: Elements with these classes show white space as it stands in the template (``white-space: pre-wrap``).
KEEPS_SPACE = r'<\w+[^>]*class="(?:[^"]* )?(?:text|code)(?: [^"]*)?"[^>]*>\s*\n'


def test_no_line_is_longer_than_a_reader_can_follow() -> None:
    long = [
        f"{path.name}:{number}"
        for path in TEMPLATES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > LONGEST_LINE
    ]
    assert long == []


def test_text_that_keeps_its_white_space_begins_on_the_line_of_its_tag() -> None:
    broken = [path.name for path in TEMPLATES if re.search(KEEPS_SPACE, path.read_text(encoding="utf-8"))]
    assert broken == []
