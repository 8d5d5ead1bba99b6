"""Documentation pages as HTML, so that screens can link to explanations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from django.conf import settings
from markdown_it import MarkdownIt

_SCROLL: Final = '<div class="scroll" tabindex="0" role="region" aria-label="Table">'
PAGE: Final = re.compile(r"[a-z][a-z-]{0,40}")


@dataclass(frozen=True, slots=True)
class ManualPage:
    """A page as HTML. ``title`` is its first heading."""

    title: str
    html: str


def page(name: str) -> ManualPage | None:
    """Return ``docs/NAME.md`` as HTML, or ``None`` if it does not exist."""
    path = Path(settings.BASE_DIR) / "docs" / f"{name}.md"
    if not PAGE.fullmatch(name) or not path.is_file():
        return None
    return _render(path, path.stat().st_mtime_ns)


@cache
def _render(path: Path, changed: int) -> ManualPage:
    """Render a page, with an id on each heading for links. HTML is allowed: the source is ours."""
    made = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = made.parse(path.read_text(encoding="utf-8"))
    title = ""
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            words = tokens[place + 1].content
            title = title or words
            token.attrSet("id", re.sub(r"[^\w -]", "", words.lower()).replace(" ", "-"))
    html = made.renderer.render(tokens, made.options, {})
    return ManualPage(title, html.replace("<table>", f"{_SCROLL}<table>").replace("</table>", "</table></div>"))
