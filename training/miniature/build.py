"""Build the miniature and cache it: M0, its fine-tuning rows, and the prompts for alignment and evaluation.

A build is written to a temporary folder and renamed when complete, so a partial build is never used. The same seed
gives the same files.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.miniature import corpus
from training.miniature.pretraining import Progress, pretrain
from training.miniature.sampling import sample_lines
from training.miniature.tokenizer import build_tokenizer
from training.miniature.world import Noise

VERSION = 3
EFT_SAMPLED_SHARE = 0.5
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Size:
    """Size of a build: the number of documents for M0, and of rows per training file."""

    documents: int = 32_000
    ift: int = 1_500
    eft: int = 5_000
    replay: int = 1_000
    ranked: int = 300


FULL = Size()


@dataclass(frozen=True, slots=True)
class Miniature:
    """The files of a built miniature."""

    directory: Path
    seed: int

    @property
    def m0(self) -> Path:
        """Model folder of M0: weights, config, tokenizer, chat template."""
        return self.directory / "m0"

    @property
    def ift(self) -> Path:
        """Instruction rows."""
        return self.directory / "ift.jsonl"

    @property
    def eft(self) -> Path:
        """Evaluation rows, each a judge prompt and a judgement."""
        return self.directory / "eft.jsonl"

    @property
    def replay(self) -> Path:
        """Raw documents to mix into fine-tuning, as rows without messages."""
        return self.directory / "replay.jsonl"

    @property
    def ranked(self) -> Path:
        """Prompts with ranked responses, from which evaluation rows can be built."""
        return self.directory / "ranked.jsonl"

    @property
    def prompts(self) -> Path:
        """Prompts for training runs."""
        return self.directory / "prompts.jsonl"

    @property
    def prompts_validation(self) -> Path:
        """Prompts for tuning settings, with separate wordings."""
        return self.directory / "prompts_validation.jsonl"

    @property
    def prompts_test(self) -> Path:
        """Held-out prompts, with wordings used in neither training nor tuning."""
        return self.directory / "prompts_test.jsonl"


def place(home: Path, seed: int) -> Path:
    """Return the folder of a seed's miniature under ``home``."""
    return home / "miniature" / f"seed-{seed}"


def find(home: Path, seed: int, size: Size = FULL) -> Miniature | None:
    """Return the built miniature, or ``None`` if it is missing, modified, or of another version or size."""
    directory = place(home, seed)
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        whole = manifest == _manifest(directory, seed, size)
    except (OSError, ValueError):
        return None
    return Miniature(directory, seed) if whole else None


def build(home: Path, seed: int, progress: Progress = lambda step, done, total: None, size: Size = FULL) -> Miniature:
    """Return the miniature of a seed, building it if it does not exist yet.

    Args:
        home: the data folder; the miniature is stored under ``miniature/seed-<seed>``.
        seed: determines the documents' noise, M0's initial weights, the rows and the prompts, but not the true answers.
        progress: called with a step's name, its done count and its total.
        size: size of the build; smaller sizes are faster and give a weaker model.
    """
    found = find(home, seed, size)
    if found is not None:
        return found
    target = place(home, seed)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".seed-{seed}-", dir=target.parent))
    try:
        _fill(work, seed, progress, size)
        manifest = _manifest(work, seed, size)
        (work / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        _put_in_place(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Miniature(target, seed)


def _fill(directory: Path, seed: int, progress: Progress, size: Size) -> None:
    def drawn(part: str) -> random.Random:
        return random.Random(f"{part}-{seed}")

    progress("Writing the world's documents", 0, size.documents)
    noise, tokenizer = Noise(seed), build_tokenizer()
    texts = corpus.documents(size.documents, noise, drawn("documents"))
    progress("Writing the world's documents", size.documents, size.documents)
    model = pretrain(tokenizer, texts, seed, progress)
    made = Miniature(directory, seed)
    model.save_pretrained(made.m0)
    tokenizer.save_pretrained(made.m0)
    asked = corpus.eft_questions(size.eft, drawn("eft questions"))
    own = [instruction for _, instruction in asked[: int(size.eft * EFT_SAMPLED_SHARE)]]
    sampled = sample_lines(model, tokenizer, own, seed, progress)
    _write(made.eft, corpus.eft_rows(asked, sampled, noise, drawn("eft")))
    _write(made.ift, corpus.ift_rows(size.ift, noise, drawn("ift")))
    _write(made.replay, corpus.replay_rows(size.replay, noise, drawn("replay")))
    _write(made.ranked, corpus.ranked_rows(size.ranked, noise, drawn("ranked")))
    _write(made.prompts, corpus.prompt_texts("train", drawn("prompts")))
    _write(made.prompts_validation, corpus.prompt_texts("validation", drawn("validation"), corpus.VALIDATION_PROMPTS))
    _write(made.prompts_test, corpus.prompt_texts("test", drawn("test"), corpus.TEST_PROMPTS))


def _put_in_place(work: Path, target: Path) -> None:
    """Rename a complete build to ``target``, moving a stale one away first."""
    if target.exists():
        stale = Path(tempfile.mkdtemp(prefix=".stale-", dir=target.parent))
        os.replace(target, stale / target.name)
        shutil.rmtree(stale, ignore_errors=True)
    os.replace(work, target)


def _write(path: Path, rows: Iterable[Mapping[str, Any]] | Sequence[Any]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _manifest(directory: Path, seed: int, size: Size) -> dict[str, Any]:
    return {"version": VERSION, "seed": seed, "size": asdict(size), "files": _hashes(directory)}


def _hashes(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of all files of a build except the manifest, by relative path."""
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
