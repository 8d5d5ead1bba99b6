"""Read all deployment settings from the environment, and fail early with a remedy."""

from __future__ import annotations

import os
import secrets
import shlex
from pathlib import Path
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).resolve().parent.parent


class EnvironmentProblem(SystemExit):
    """An invalid setting; the message has the variable and the remedy."""

    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(f"{variable}: {problem}")


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, default).strip()


def flag(name: str, default: bool) -> bool:
    value = text(name).lower()
    if value in ("", "default"):
        return default
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    raise EnvironmentProblem(name, f"{value!r} is not a boolean; use 1 or 0")


def integer(name: str, default: int, *, low: int, high: int) -> int:
    value = text(name)
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        raise EnvironmentProblem(name, f"{value!r} is not a whole number") from None
    if not low <= number <= high:
        raise EnvironmentProblem(name, f"{number} is out of range; use {low} to {high}")
    return number


def words(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """Return a comma-separated list."""
    return [word.strip() for word in text(name).split(",") if word.strip()] or list(default)


def command(name: str) -> list[str]:
    """Return a command and its arguments, quoted as in a shell; empty if not set."""
    try:
        return shlex.split(text(name))
    except ValueError as error:
        raise EnvironmentProblem(name, f"cannot be read ({error}); quote it as in a shell") from None


def home() -> Path:
    """Return the data folder: database, checkpoints, snapshots, secret key, embedded Valkey."""
    path = Path(text("PLUMBLINE_HOME") or REPOSITORY / "var").expanduser().resolve()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        problem = f"cannot create {path}: {error.strerror}; use a folder you own"
        raise EnvironmentProblem("PLUMBLINE_HOME", problem) from None
    if not os.access(path, os.W_OK):
        raise EnvironmentProblem("PLUMBLINE_HOME", f"{path} is not writable; use a folder you own")
    return path


def secret_key(folder: Path) -> str:
    """Return SECRET_KEY from the environment, else one generated at first start and stored with mode 600."""
    given = text("SECRET_KEY")
    if given:
        if len(given) < 32:
            raise EnvironmentProblem("SECRET_KEY", "is shorter than 32 characters; unset it to generate one")
        return given
    path = folder / "secret_key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="utf-8").strip()
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        key = secrets.token_urlsafe(48)
        file.write(key)
    return key


def database(folder: Path) -> dict[str, object]:
    """Return DATABASE_URL as Django's setting: sqlite:///path (default) or postgresql://user:password@host/name."""
    import environ

    url = text("DATABASE_URL") or f"sqlite:///{folder / 'plumbline.sqlite3'}"
    scheme = urlsplit(url).scheme
    if scheme not in ("sqlite", "postgres", "postgresql", "psql"):
        raise EnvironmentProblem("DATABASE_URL", f"{scheme or url!r} is not supported; use sqlite:/// or postgresql://")
    try:
        config: dict[str, object] = environ.Env.db_url_config(url)
    except Exception as error:
        raise EnvironmentProblem("DATABASE_URL", f"cannot be read ({error}); quote special characters") from None
    if scheme == "sqlite":
        # Writers wait instead of failing: the lock is acquired when a transaction begins.
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA mmap_size=134217728;",
        }
    else:
        config["CONN_MAX_AGE"] = 60
        config["CONN_HEALTH_CHECKS"] = True
    return config


def redis_url(folder: Path) -> str:
    """Return REDIS_URL of a Redis or Valkey server; default: the embedded Valkey's socket in the data folder."""
    url = text("REDIS_URL")
    if not url:
        return f"unix://{folder / 'valkey.sock'}"
    if urlsplit(url).scheme not in ("redis", "rediss", "unix"):
        raise EnvironmentProblem("REDIS_URL", "must begin with redis://, rediss:// or unix://")
    return url
