"""Model text, prompts and guidelines as safe HTML: Markdown without raw HTML, then a list of allowed tags."""

from __future__ import annotations

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

#: No images, styles, identifiers or forms: what a text says is shown, and nothing that it asks for is done.
_TAGS = set(
    "p br hr em strong del s code pre blockquote ul ol li h1 h2 h3 h4 h5 h6 table thead tbody tr th td a".split()
)
_ATTRIBUTES = {"a": {"href"}, "ol": {"start"}, "code": {"class"}}
_RENDERER = (
    MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True})
    .enable(["table", "strikethrough"])
    .disable(["image"])
)
MAX_CHARACTERS = 60_000


def safe_html(text: str) -> SafeString:
    """Markdown as HTML that can only show. Links open nothing but http, https and mailto, and carry no referrer."""
    cut = text[:MAX_CHARACTERS]
    rest = f"\n\n… {len(text) - len(cut):,} more characters" if len(cut) < len(text) else ""
    cleaned = nh3.clean(
        _RENDERER.render(cut + rest),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    return mark_safe(cleaned)  # nh3 let through what _TAGS names and nothing else
