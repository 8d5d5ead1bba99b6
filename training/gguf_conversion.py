"""Convert a GGUF file once to a checkpoint that engines and trainers load."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from training.engines.base import EngineError
from training.gguf import GgufError, gguf_file, quantization_note, require_usable


def loadable(model: str, store: Path, log: Callable[[str], object] = lambda _: None) -> str:
    """Return ``model``, a folder or hub name, or the checkpoint of the GGUF file that it names.

    Raises :class:`training.engines.base.EngineError` for a GGUF file that cannot be used.
    """
    try:
        file = gguf_file(model)
        return model if file is None else str(plain_checkpoint(file, store, log))
    except GgufError as error:
        raise EngineError(str(error)) from error


def plain_checkpoint(file: Path, store: Path, log: Callable[[str], object] = lambda _: None) -> Path:
    """Return the folder in ``store`` of the checkpoint of a GGUF file, which is converted at the first call.

    Weights are saved in bfloat16. A file that has changed since is converted again. ``log`` gets what was done.
    Raises :class:`GgufError` if the file cannot be read, or if transformers does not support its architecture.
    """
    require_usable(file)
    state = file.stat()
    known = f"{file.resolve()}:{state.st_size}:{state.st_mtime_ns}"
    folder = store / f"{file.stem}-{hashlib.sha256(known.encode()).hexdigest()[:12]}"
    if (folder / "config.json").is_file():
        return folder
    store.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=store, prefix="incomplete-"))
    try:
        _convert(file, scratch)
        try:
            os.rename(scratch, folder)
        except OSError:  # another worker was faster
            if not (folder / "config.json").is_file():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    log(f"{file.name} was converted to a checkpoint in {folder}. {quantization_note(file)}")
    return folder


def _convert(file: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    except Exception as error:  # any of the readers of file, architecture and tokenizer
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise GgufError(
            f"{file.name} could not be converted: {lines[0][:300].rstrip('.')}. Use the model's own checkpoint (folder "
            "or hub name), or a GGUF file of an architecture that transformers supports."
        ) from error
    # The weights are plain now, but the model still says that it is quantized and would refuse to be saved.
    model.hf_quantizer = None
    del model.config.quantization_config
    if context := getattr(model.config, "max_position_embeddings", None):
        tokenizer.model_max_length = context
    model.to(torch.bfloat16).save_pretrained(target)
    tokenizer.save_pretrained(target)
