"""A secret, such as an API key, that cannot be printed by accident."""

from __future__ import annotations

HIDDEN = "•••"


class Secret:
    """Text that only :meth:`reveal` returns. Secrets compare by value, so that they can be used as cache keys."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text. Call this only where the secret is sent."""
        return self._text

    def hide(self, text: str) -> str:
        """Mask the secret in ``text``: servers repeat keys in error messages."""
        return text.replace(self._text, HIDDEN) if self._text else text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __reduce__(self) -> str:
        raise TypeError("a secret cannot be pickled; pass its name instead")
