"""Files that wait between their preview and their import: in the data folder, for their owner, a day at most."""

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
    """Store an uploaded file. Returns the key under which its owner finds it. Raises :class:`Refused`."""
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
    """Raises :class:`Refused` for a file that is empty, or too large for a request to read."""
    if (file.size or 0) > LARGEST:
        raise Refused(
            "too-large",
            f"The file has {file.size / 1024**2:,.0f} MiB. A request takes {LARGEST // 1024**2} MiB; "
            "python manage.py import_data takes any size.",
            status=413,
        )
    if not file.size:
        raise Refused("empty", "The file is empty. Choose another.", status=400)


def find(key: str, user: Any) -> Path:
    """The file of that key. Raises :class:`Refused` where it is not this person's or is gone."""
    if re.fullmatch(r"[\w-]{16}", key):
        for path in _folder().glob(f"{user.pk}-{key}-*"):
            return path
    raise Refused("gone", "This upload is no longer here. Choose the file again.", status=404)


def name_of(path: Path, key: str) -> str:
    """The file's own name."""
    return path.name.partition(f"{key}-")[2]


def discard(path: Path) -> None:
    path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what nobody came back for."""
    limit = time.time() - KEPT_SECONDS
    for path in folder.iterdir():
        try:
            if path.stat().st_mtime < limit:
                path.unlink()
        except FileNotFoundError:
            continue  # another request was quicker


def _folder() -> Path:
    folder = Path(settings.HOME) / "uploads"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
