"""The images and the compose file: not root, no secret written down, a health check for what runs."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
DOCKER = ROOT / "docker"
DOCKERFILES = [DOCKER / "Dockerfile", DOCKER / "Dockerfile.gpu"]
SECRETS = ("POSTGRES_PASSWORD", "VALKEY_PASSWORD", "SECRET_KEY")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    data = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    assert isinstance(data, dict)
    return data


@pytest.fixture(scope="module")
def healthy() -> Any:
    spec = importlib.util.spec_from_file_location("healthy", DOCKER / "healthy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_the_linter_finds_nothing(path: Path) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        pytest.skip("hadolint is not installed: run 'make install-dev'")
    done = subprocess.run([str(linter), "--no-color", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout == ""


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_ends_as_a_user_that_is_not_root_with_a_health_check(path: Path) -> None:
    last = path.read_text(encoding="utf-8").rpartition("\nFROM ")[2]
    users = re.findall(r"^USER (\S+)", last, re.MULTILINE)
    assert users
    assert users[-1].split(":")[0].isdigit()
    assert int(users[-1].split(":")[0]) > 0
    assert re.search(r"^HEALTHCHECK .*CMD", last, re.MULTILINE)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_everything_that_an_image_copies_exists_and_is_let_through(path: Path) -> None:
    let_through = (path.parent / f"{path.name}.dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [
        source
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in let_through, source


def test_the_image_holds_every_room_that_the_web_process_needs() -> None:
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    for room in ("alignment_app", "labeling", "training", "templates", "static", "manage.py"):
        assert re.search(rf"^COPY .*\b{room}\b", text, re.MULTILINE), room


def test_no_secret_is_written_into_the_compose_file(compose: dict[str, Any]) -> None:
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    for name in SECRETS:
        assert f"${{{name}:?" in text, f"{name} must be demanded of the environment"
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            if any(word in variable for word in ("PASSWORD", "SECRET", "KEY", "TOKEN")):
                assert str(value).startswith("${"), f"{name}: {variable}"
    example = (DOCKER / "env.example").read_text(encoding="utf-8")
    for name in SECRETS:
        assert re.search(rf"^{name}=$", example, re.MULTILINE)


def test_every_service_that_stays_up_has_a_health_check_and_comes_back(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if name == "migrate":
            continue
        assert service.get("restart") == "unless-stopped", name
        if name not in ("monitor", "web"):  # the image has the web process's own; nothing connects to the monitor
            assert service["healthcheck"]["test"], name


def test_the_applications_containers_have_no_powers_and_a_file_system_that_stays_as_it_is(
    compose: dict[str, Any],
) -> None:
    for name in ("migrate", "web", "worker", "chat", "monitor", "gpu-worker"):
        service = compose["services"][name]
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name
        assert "privileged" not in service, name
        assert "user" not in service, f"{name} runs as the image's user"


def test_database_and_queue_are_not_reachable_from_outside(compose: dict[str, Any]) -> None:
    assert compose["networks"]["inside"]["internal"] is True
    for name in ("postgres", "valkey"):
        assert compose["services"][name]["networks"] == ["inside"]
        assert "ports" not in compose["services"][name]
    assert compose["services"]["web"]["ports"] == ["${LISTEN:-127.0.0.1:8000}:8000"]


def test_every_command_of_the_compose_file_exists(compose: dict[str, Any]) -> None:
    commands = {
        service["command"][2] for service in compose["services"].values() if "manage.py" in service.get("command", [])
    }
    built_in = {"migrate"}
    for command in commands - built_in:
        assert (ROOT / "alignment_app" / "management" / "commands" / f"{command}.py").is_file(), command


def test_docker_compose_accepts_the_file() -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("docker compose is not installed here")
    environment = os.environ | dict.fromkeys(SECRETS, "x" * 40)
    done = subprocess.run(
        ["docker", "compose", "--profile", "gpu", "-f", str(DOCKER / "compose.yaml"), "config", "--quiet"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_worker_is_healthy_while_it_is_heard(healthy: Any, valkey: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.conf import settings
    from rq import Worker

    monkeypatch.setenv("REDIS_URL", settings.REDIS_URL)
    assert healthy.worker() is False
    worker = Worker(["light"], connection=valkey, name=f"{socket.gethostname()}:1")
    worker.register_birth()
    assert healthy.worker() is True
    monkeypatch.setattr(healthy, "HEARD_SECONDS", -1)
    assert healthy.worker() is False


def test_a_container_without_its_server_is_not_healthy_and_says_why() -> None:
    environment = os.environ | {"REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, str(DOCKER / "healthy.py"), "worker"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "not healthy" in done.stderr
    assert "Traceback" not in done.stderr
