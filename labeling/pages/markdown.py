"""Render model text, prompts and guidelines as safe HTML: Markdown without raw HTML, then a list of allowed tags.

Code is highlighted and LaTeX becomes MathML. Text that cannot be parsed is shown as source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any, Final

import nh3
from django.utils.safestring import SafeString, mark_safe
from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

MAX_CHARACTERS: Final = 60_000
#: Longer code and formulas are shown as source, because highlighting and conversion would take too long.
MAX_CODE: Final = 10_000
MAX_FORMULA: Final = 1_000
LANGUAGES: Final = frozenset(
    "python py pycon javascript js typescript ts json yaml toml bash sh shell console html xml css sql c cpp csharp "
    "java go rust ruby php kotlin swift r diff latex".split()
)
#: No images, styles, identifiers or forms, so that a text cannot load or send anything.
_TAGS: Final = set(
    "p br hr em strong del s code pre blockquote ul ol li h1 h2 h3 h4 h5 h6 table thead tbody tr th td a span "
    "math mrow mi mn mo mtext mspace mfrac msup msub msubsup msqrt mroot munder mover munderover mtable mtr mtd".split()
)
_ATTRIBUTES: Final = {"a": {"href"}, "ol": {"start"}, "math": {"display"}, "mo": {"stretchy", "fence"}}
_COLOURS: Final = {f"hl-{name}" for name in STANDARD_TYPES.values() if name}
_FORMATTER: Final[HtmlFormatter[str]] = HtmlFormatter(nowrap=True, classprefix="hl-")
_FORMULAS: Final = (("$$", "$$", True), (r"\[", r"\]", True), (r"\(", r"\)", False), ("$", "$", False))
_DEEP: Final = re.compile(r"\{")


def _coloured(code: str, language: str, _attributes: str) -> str:
    """Highlighted HTML of a fenced block; an empty string lets the renderer escape it."""
    if language.lower() not in LANGUAGES or len(code) > MAX_CODE:
        return ""
    try:
        return str(highlight(code, get_lexer_by_name(language.lower()), _FORMATTER))
    except ClassNotFound:
        return ""


def _maths(state: StateInline, silent: bool) -> bool:
    """Parse $…$, $$…$$, \\(…\\) and \\[…\\].

    To exclude prices, text in single dollars has no space at its ends and no digit after it.
    """
    for opening, closing, display in _FORMULAS:
        if not state.src.startswith(opening, state.pos):
            continue
        start = state.pos + len(opening)
        end = state.src.find(closing, start, start + MAX_FORMULA)
        body = state.src[start:end]
        if end < 0 or not body.strip():
            continue
        if opening == "$" and (body != body.strip() or state.src[end + 1 : end + 2].isdigit() or "\n" in body):
            continue
        if not silent:
            token = state.push("maths", "math", 0)
            token.content, token.meta = body, {"display": display, "written": opening + body + closing}
        state.pos = end + len(closing)
        return True
    return False


def _mathml(_renderer: Any, tokens: Sequence[Token], place: int, _options: Any, _env: Any) -> str:
    token = tokens[place]
    if len(_DEEP.findall(token.content)) > 100:
        return escape(token.meta["written"])
    try:
        return str(convert(token.content, display="block" if token.meta["display"] else "inline"))
    except Exception:  # invalid LaTeX raises exceptions of many types
        return escape(token.meta["written"])


def _renderer() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True, "highlight": _coloured})
    made.enable(["table", "strikethrough"]).disable(["image"])
    made.inline.ruler.before("escape", "maths", _maths)
    made.add_render_rule("maths", _mathml)
    return made


_RENDERER: Final = _renderer()


def safe_html(text: str) -> SafeString:
    """Render Markdown as sanitized HTML. Links are http, https or mailto, without referrer."""
    cut = text[:MAX_CHARACTERS]
    rest = f"\n\n… {len(text) - len(cut):,} more characters" if len(cut) < len(text) else ""
    cleaned = nh3.clean(
        _RENDERER.render(cut + rest),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        allowed_classes={"span": _COLOURS},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    return mark_safe(cleaned)  # nh3 removed every tag that is not in _TAGS
