"""A key that cannot be printed by accident."""

from __future__ import annotations

HIDDEN = "•••"


class Secret:
    """Text that only :meth:`reveal` gives out. Equal secrets are equal, so that what is made from them can be kept."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself: for the one call that sends it."""
        return self._text

    def hide(self, text: str) -> str:
        """``text`` with the secret made illegible: servers repeat keys in their errors."""
        return text.replace(self._text, HIDDEN) if self._text else text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written down; hand over its name")
