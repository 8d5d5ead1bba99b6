"""Content-addressed cache of reference log-probabilities on disk.

There is one folder per model and computation settings, named by the hash of both. Its files are named by the hash of
their content, so that damaged files are detected and removed. The key of an entry is the hash of the tokens it was
computed from; another template, truncation, response or augmented prompt gives another key, so no entry can be stale.

The total size is limited: the least recently used folders are removed first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

LIMIT_BYTES: Final = 2_000_000_000  # about ten million pairs
_COMPUTED_FROM: Final = (".safetensors", ".bin", ".pt", ".pth", ".py")  # and config.json

Sums = tuple[float, float]
"""Summed log-probabilities in nats of the chosen and the rejected response."""


def weights_hash(folder: Path) -> str:
    """Return the SHA-256 of a model folder's weights, configuration and code."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (path.suffix in _COMPUTED_FROM or path.name == "config.json"):
            with path.open("rb") as stream:
                whole.update(
                    f"{path.relative_to(folder)} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode()
                )
    return whole.hexdigest()


def entry_key(prompt_ids: Sequence[int], chosen_ids: Sequence[int], rejected_ids: Sequence[int]) -> str:
    """Return the SHA-256 of a pair's tokens: the prompt (x or p⊕x), then both responses."""
    tokens = json.dumps([list(prompt_ids), list(chosen_ids), list(rejected_ids)], separators=(",", ":"))
    return hashlib.sha256(tokens.encode()).hexdigest()


class ReferenceStore:
    """The entries of one model and its computation settings, under ``root``.

    ``identity`` is everything except the tokens that the values depend on: hash of the weights, number formats,
    versions.
    """

    def __init__(self, root: Path, identity: Mapping[str, Any], *, limit_bytes: int = LIMIT_BYTES) -> None:
        name = hashlib.sha256(json.dumps(dict(identity), sort_keys=True).encode()).hexdigest()
        self.root, self.folder, self.limit_bytes = root, root / name, limit_bytes

    def load(self) -> dict[str, Sums]:
        """Return all entries. Files whose content does not match their name are removed."""
        entries: dict[str, Sums] = {}
        for path in sorted(self.folder.glob("*.json")):
            try:
                content = path.read_bytes()
            except OSError:
                continue
            if hashlib.sha256(content).hexdigest() != path.stem:
                path.unlink(missing_ok=True)
                continue
            entries |= {key: (chosen, rejected) for key, (chosen, rejected) in json.loads(content).items()}
        with contextlib.suppress(OSError):
            os.utime(self.folder)  # mark as recently used
        return entries

    def add(self, entries: Mapping[str, Sums]) -> None:
        """Write these entries atomically as one file."""
        if not entries:
            return
        content = json.dumps(dict(entries), sort_keys=True).encode()
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("wb", dir=self.folder, suffix=".partial", delete=False) as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(stream.name, self.folder / f"{hashlib.sha256(content).hexdigest()}.json")

    def tidy(self) -> None:
        """Merge this model's files into one; remove folders above the limit and partial files older than a day."""
        files = list(self.folder.glob("*.json"))
        if len(files) > 1:
            joined = self.load()
            before = {path.name for path in files}
            self.add(joined)
            for name in before - {f"{hashlib.sha256(json.dumps(joined, sort_keys=True).encode()).hexdigest()}.json"}:
                (self.folder / name).unlink(missing_ok=True)
        for path in self.root.glob("*/*.partial"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > 86_400:
                    path.unlink()
        self._keep_within_limit()

    def _keep_within_limit(self) -> None:
        """Remove the least recently used folders, but never this one."""
        folders = []
        for folder in self.root.iterdir() if self.root.is_dir() else ():
            with contextlib.suppress(OSError):
                size = sum(path.stat().st_size for path in folder.iterdir())
                folders.append((folder.stat().st_mtime, size, folder))
        total = sum(size for _, size, _ in folders)
        for _, size, folder in sorted(folders):
            if total <= self.limit_bytes:
                break
            if folder != self.folder:
                shutil.rmtree(folder, ignore_errors=True)
                total -= size
