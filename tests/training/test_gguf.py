"""GGUF files as models: found, refused with the remedy, converted once to the same model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from alignment_app.services import artifacts, runs
from tests.support.gguf_files import save_gguf
from tests.support.students import save_little_student
from tests.support.tokenizers import tokenizer_of
from training import gguf
from training.engines.base import Request, Sampling
from training.engines.transformers_engine import TransformersEngine
from training.gguf import GgufError, gguf_file, note_of, require_usable
from training.gguf_conversion import plain_checkpoint


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model whose weights and tokenizer the file has."""
    return save_little_student(tmp_path_factory.mktemp("original"), tokenizer=tokenizer_of("byte-level, ChatML"))


@pytest.fixture(scope="module")
def file(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model, tokenizer = (kind.from_pretrained(original) for kind in (AutoModelForCausalLM, AutoTokenizer))
    return save_gguf(model, tokenizer, tmp_path_factory.mktemp("gguf") / "little.gguf")


def test_the_converted_model_computes_what_the_original_computes(file: Path, original: Path, tmp_path: Path) -> None:
    folder = plain_checkpoint(file, tmp_path)
    logits, texts = [], []
    for where in (folder, original):
        tokenizer = AutoTokenizer.from_pretrained(where)
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": "Where is the station?"}], return_tensors="pt", return_dict=True
        )["input_ids"]
        texts.append(tokenizer.decode(ids[0]))
        with torch.inference_mode():
            logits.append(AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32)(ids).logits)
    assert texts[0] == texts[1]
    assert (logits[0] - logits[1]).abs().max() < 0.02 * logits[1].abs().max()  # bfloat16
    requests = [Request("a", ({"role": "user", "content": "Name a bird."},), 1)]
    (done,) = TransformersEngine(folder).generate(requests, Sampling(0, 1, 5))
    assert done.token_count == 5


def test_a_file_is_converted_once_and_again_after_a_change(file: Path, tmp_path: Path) -> None:
    said: list[str] = []
    first = plain_checkpoint(file, tmp_path, said.append)
    assert plain_checkpoint(file, tmp_path, said.append) == first
    assert len(said) == 1
    file.touch()
    assert plain_checkpoint(file, tmp_path, said.append) != first
    assert len(said) == 2
    assert not list(tmp_path.glob("incomplete-*"))


def test_a_file_or_a_folder_with_one_file_is_found(file: Path, little_model: Path, tmp_path: Path) -> None:
    assert gguf_file(file) == gguf_file(file.parent) == file
    assert gguf_file(little_model) is None
    assert gguf_file("org/name") is None
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).touch()
    with pytest.raises(GgufError, match=r"2 GGUF files.*a\.gguf, b\.gguf"):
        gguf_file(tmp_path)


def test_a_broken_file_is_refused_at_launch(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"<html>")
    assert runs.model_problem("student.model", str(broken)) == (
        "student.model",
        "broken.gguf is not a GGUF file, or its download is incomplete; download it again",
    )


def test_a_folder_with_several_files_is_refused_at_launch_wherever_it_is(tmp_path: Path, settings: Any) -> None:
    settings.HOME = tmp_path
    (tmp_path / "models").mkdir()
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / "models" / name).touch()
    for model in ("models", str(tmp_path / "models")):
        field, problem = runs.model_problem("student.model", model) or ("", "")
        assert field == "student.model"
        assert "2 GGUF files" in problem
        assert note_of(artifacts.resolve(model)) == ""


def test_the_note_is_on_gguf_files_alone(file: Path, original: Path) -> None:
    assert "quantized" in note_of(file)
    assert note_of(original) == note_of("org/name") == ""


def test_a_file_of_an_unknown_architecture_names_the_remedy(tmp_path: Path) -> None:
    import gguf as library

    file = tmp_path / "odd.gguf"
    writer = library.GGUFWriter(file, "no-such-architecture")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(GgufError, match="could not be converted"):
        plain_checkpoint(file, tmp_path / "store")
    assert not list((tmp_path / "store").iterdir())


def test_a_missing_package_names_the_command_that_installs_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "find_spec", lambda name: None)
    with pytest.raises(GgufError, match="make install EXTRAS=gguf"):
        require_usable(file)
