"""Uploaded files between preview and import: in the data folder, readable by their owner, for at most a day."""

from __future__ import annotations

import re
import secrets
import time
from pathlib import Path
from typing import Any

from django.conf import settings

from alignment_app.services.errors import Refused

LARGEST = 256 * 1024**2  # bytes
KEPT_SECONDS = 24 * 3600
_NAME = re.compile(r"[^\w.-]+")


def keep(file: Any, user: Any) -> str:
    """Store an uploaded file and return its key. Raises :class:`Refused`."""
    check_size(file)
    folder = _folder()
    sweep(folder)
    name = _NAME.sub("_", Path(file.name or "rows").name)[-80:].lstrip(".") or "rows"
    key = secrets.token_urlsafe(12)
    path = folder / f"{user.pk}-{key}-{name}"
    try:
        with path.open("xb") as kept:
            for piece in file.chunks():
                kept.write(piece)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise Refused("not-stored", f"The file could not be stored: {error.strerror}.", status=507) from None
    return key


def check_size(file: Any) -> None:
    """Raise :class:`Refused` for an empty or too large file."""
    if (file.size or 0) > LARGEST:
        raise Refused(
            "too-large",
            f"The file is {file.size / 1024**2:,.0f} MiB; the limit is {LARGEST // 1024**2} MiB. "
            "Use python manage.py import_data for larger files.",
            status=413,
        )
    if not file.size:
        raise Refused("empty", "The file is empty. Choose another.", status=400)


def find(key: str, user: Any) -> Path:
    """Return the file of a key. Raises :class:`Refused` when it belongs to another user or no longer exists."""
    if re.fullmatch(r"[\w-]{16}", key):
        for path in _folder().glob(f"{user.pk}-{key}-*"):
            return path
    raise Refused("gone", "This upload has expired. Choose the file again.", status=404)


def name_of(path: Path, key: str) -> str:
    """Return the original name of the file."""
    return path.name.partition(f"{key}-")[2]


def discard(path: Path) -> None:
    path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Delete expired uploads."""
    limit = time.time() - KEPT_SECONDS
    for path in folder.iterdir():
        try:
            if path.stat().st_mtime < limit:
                path.unlink()
        except FileNotFoundError:
            continue  # another request deleted it first


def _folder() -> Path:
    folder = Path(settings.HOME) / "uploads"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
