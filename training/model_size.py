"""Size of a model from its folder or its name, without loading it.

Standard library only, because the launch page calls this in the web process.
"""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

MAX_HEADER_BYTES: Final = 100_000_000


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Dimensions of a model. ``exact`` is false if they were guessed from the name."""

    parameters: int
    layers: int
    width: int  # hidden size
    vocabulary: int
    kv_width: int  # key-value heads times head size
    exact: bool = True
    local: bool = False


#: Models of the presets: parameters, layers, width, vocabulary and key-value width from their model cards.
KNOWN: Final[dict[str, ModelSize]] = {
    "microsoft/phi-2": ModelSize(2_779_683_840, 32, 2560, 51200, 2560),
    "meta-llama/Llama-2-70b-hf": ModelSize(68_976_648_192, 80, 8192, 32000, 1024),
    "EleutherAI/pythia-2.8b": ModelSize(2_775_208_960, 32, 2560, 50304, 2560),
    "alignment-handbook/zephyr-7b-sft-full": ModelSize(7_241_732_096, 32, 4096, 32000, 1024),
    "HuggingFaceTB/SmolLM2-135M-Instruct": ModelSize(134_515_008, 30, 576, 49152, 192),
    "HuggingFaceTB/SmolLM2-360M-Instruct": ModelSize(361_821_120, 32, 960, 49152, 320),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": ModelSize(1_711_376_384, 24, 2048, 49152, 2048),
}


def model_size(model: str, folders: tuple[Path, ...] = ()) -> ModelSize | None:
    """Return the size of a model: from its folder, from :data:`KNOWN`, or guessed from a name like ``org/name-2.8b``.

    ``folders`` are base folders for relative paths besides the working directory. Returns ``None`` if unknown.
    """
    for folder in (Path(model).expanduser(), *(base / model for base in folders)):
        if (folder / "config.json").is_file():
            return _size_of_folder(folder)
    return KNOWN.get(model) or _size_from_name(model)


def _size_of_folder(folder: Path) -> ModelSize | None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        shape = _shape(config)
        counted = sum(_count_parameters(file) for file in sorted(folder.glob("*.safetensors")))
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return None
    layers, width, vocabulary, kv_width = shape
    return ModelSize(counted or _parameters_from_shape(config, shape), layers, width, vocabulary, kv_width, local=True)


def _shape(config: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return layers, width, vocabulary and key-value width of a transformers config, under their common names."""
    layers = int(config.get("num_hidden_layers") or config["n_layer"])
    width = int(config.get("hidden_size") or config["n_embd"])
    heads = int(config.get("num_attention_heads") or config.get("n_head") or 1)
    kv_heads = int(config.get("num_key_value_heads") or heads)
    head = int(config.get("head_dim") or width // heads)
    return layers, width, int(config["vocab_size"]), kv_heads * head


def _parameters_from_shape(config: dict[str, Any], shape: tuple[int, int, int, int]) -> int:
    """Compute the parameters of a decoder without its weights. Norms and biases are ignored."""
    layers, width, vocabulary, kv_width = shape
    inner = int(config.get("intermediate_size") or config.get("n_inner") or 4 * width)
    gated = config.get("model_type") not in ("gpt2", "gpt_neox", "phi", "opt", "bloom")
    attention = 2 * width * width + 2 * width * kv_width
    embeddings = vocabulary * width * (1 if config.get("tie_word_embeddings") else 2)
    return layers * (attention + (3 if gated else 2) * width * inner) + embeddings


def _count_parameters(file: Path) -> int:
    """Count the parameters in a safetensors file by its header."""
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        if length > MAX_HEADER_BYTES:
            raise ValueError("not a safetensors file")
        header = json.loads(opened.read(length))
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")


def _size_from_name(model: str) -> ModelSize | None:
    """Guess the size from a name that includes it, like 7b or 360M, with the typical shape of that size."""
    matches = re.findall(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)\s?([bm])(?![a-z0-9])", model.rsplit("/", 1)[-1], re.IGNORECASE)
    if not matches:
        return None
    number, unit = matches[-1]
    parameters = int(float(number) * (1e9 if unit.lower() == "b" else 1e6))
    if parameters < 1_000_000:
        return None
    layers = 24 if parameters < 2e9 else 32 if parameters < 2e10 else 64
    width = max(64, round(math.sqrt(parameters / (12 * layers)) / 64) * 64)
    return ModelSize(parameters, layers, width, 50_000, width, exact=False)
