"""The stylesheet of all pages: the files of ``static/css``, joined in the order of their cascade.

Each component has its own file. Browsers load one joined file and cache it permanently, because its name contains a
digest of the text.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from django.conf import settings

#: Where two rules have the same weight, the later file wins.
FILES = (
    "tokens", "base", "top-bar", "layout", "buttons", "forms", "marks", "disclosure", "messages", "tables", "text",
    "responses", "run-list", "run-loop", "run", "charts", "accounts", "checkpoints", "compare", "chat", "system",
    "launch", "data", "desk", "review", "judges", "studies", "manual",
)  # fmt: skip


def _join() -> tuple[str, str]:
    folder = settings.BASE_DIR / "static" / "css"
    text = "\n".join((folder / f"{name}.css").read_text(encoding="utf-8") for name in FILES)
    text = text.replace('url("../', f'url("{settings.STATIC_URL}')
    return text, hashlib.sha256(text.encode()).hexdigest()[:16]


_join_once = lru_cache(maxsize=1)(_join)


def stylesheet() -> tuple[str, str]:
    """Return the text and its digest. With ``DEBUG``, the files are read again on every call, to show edits."""
    return _join() if settings.DEBUG else _join_once()
