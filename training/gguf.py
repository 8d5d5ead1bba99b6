"""GGUF files as models: find them and check them, without loading them.

Standard library only, because the launch page calls this in the web process. ``training.gguf_conversion`` converts
them.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

INSTALL = "make install EXTRAS=gguf"
_MAGIC = b"GGUF"


class GgufError(Exception):
    """A GGUF file cannot be used. The message names the remedy."""


def gguf_file(model: str | Path) -> Path | None:
    """Return the GGUF file that ``model`` names: a file, or a folder with one such file and no config.json.

    Returns ``None`` for any other model. Raises :class:`GgufError` for a folder with several GGUF files.
    """
    path = Path(model).expanduser()
    if path.suffix.lower() == ".gguf" and path.is_file():
        return path
    if not path.is_dir() or (path / "config.json").is_file():
        return None
    files = sorted(path.glob("*.gguf"))
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise GgufError(f"{model} has {len(files)} GGUF files; give the path of one of them: {names}")
    return files[0] if files else None


def require_usable(file: Path) -> None:
    """Raise :class:`GgufError` if the package is not installed, or if the file is not a GGUF file."""
    if find_spec("gguf") is None:
        raise GgufError(f"A GGUF model needs the package gguf, which is not installed. Run: {INSTALL}")
    with file.open("rb") as opened:
        if opened.read(len(_MAGIC)) != _MAGIC:
            raise GgufError(f"{file.name} is not a GGUF file, or its download is incomplete; download it again")


def note_of(model: str | Path) -> str:
    """Return :func:`quantization_note` if ``model`` is a GGUF file, otherwise an empty text."""
    try:
        file = gguf_file(model)
    except GgufError:  # the check of the config reports it
        return ""
    return quantization_note(file) if file else ""


def quantization_note(file: Path) -> str:
    """Return what the quantization of the weights means for results."""
    return (
        f"{file.name} holds quantized weights. They are close to those of the model that was quantized, not equal to "
        "them, so answers and scores differ from published ones."
    )
