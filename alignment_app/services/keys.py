"""Provider keys: stored encrypted, tested by a worker, and each bound to one address."""

from __future__ import annotations

import base64
import os
import re
from functools import cache
from typing import Final
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone
from redis.exceptions import RedisError
from rq import Queue

from alignment_app import logs
from alignment_app.models import ProviderKey
from alignment_app.services import people, queues
from alignment_app.services.errors import Refused
from training.config import MODEL_ROLES, EngineConfig, ModelConfig, RunConfig
from training.domain.engine_kinds import PROVIDERS, provider_choices
from training.domain.secret import Secret

TEST_ENTRY_POINT: Final = "training.jobs.keys.try_key"
TEST_SECONDS: Final = 60
LEAST_LENGTH: Final = 8


@transaction.atomic
def store(name: str, provider: str, base_url: str, secret: str, *, by: User) -> ProviderKey:
    """Store a new key. Raises :class:`Refused` for a taken name, an invalid value, or if ``by`` is not an admin."""
    _admins_only(by)
    name, secret = name.strip(), secret.strip()
    if not re.fullmatch(r"[\w.-]{1,60}", name):
        raise Refused("bad-name", "A name has up to 60 letters, digits and . _ - only.", status=400)
    if provider not in PROVIDERS:
        raise Refused("unknown-provider", f"Choose a provider: {' or '.join(PROVIDERS)}.", status=400)
    address = _address(base_url or PROVIDERS[provider].address)
    _check_secret(secret)
    try:
        with transaction.atomic():
            return ProviderKey.objects.create(
                name=name,
                provider=provider,
                base_url=address,
                secret=_cipher(settings.SECRET_KEY).encrypt(secret.encode()).decode(),
                last_four=secret[-4:],
                made_by=by,
            )
    except IntegrityError:
        raise Refused("name-taken", f"The key {name} exists. Replace it, or choose another name.") from None


@transaction.atomic
def replace(key: ProviderKey, secret: str, *, by: User) -> None:
    """Replace the key's secret, for the same address. Runs use the new one from their next stage."""
    _admins_only(by)
    secret = secret.strip()
    _check_secret(secret)
    key.secret = _cipher(settings.SECRET_KEY).encrypt(secret.encode()).decode()
    key.last_four, key.made_by, key.made_at = secret[-4:], by, timezone.now()
    key.tested_at = key.test_asked_at = key.test_passed = None
    key.test_result = ""
    key.save()


@transaction.atomic
def remove(key: ProviderKey, *, by: User) -> None:
    """Delete a key. Runs that use it fail at their next stage."""
    _admins_only(by)
    key.delete()


def request_test(key: ProviderKey, *, by: User) -> None:
    """Ask a worker to test the key by listing the provider's models, which is free."""
    _admins_only(by)
    key.test_asked_at, key.test_passed, key.test_result = timezone.now(), None, ""
    key.save(update_fields=["test_asked_at", "test_passed", "test_result"])
    try:
        Queue(queues.INTERACTIVE, connection=queues.connection()).enqueue_call(
            TEST_ENTRY_POINT, args=(key.pk,), description="key test", timeout=TEST_SECONDS, result_ttl=0, failure_ttl=60
        )
    except (RedisError, OSError):
        store_test_result(key.pk, False, "The queue server does not respond. See the page System.")


def store_test_result(pk: int, passed: bool, result: str) -> None:
    """Store the result of a key test."""
    ProviderKey.objects.filter(pk=pk).update(
        tested_at=timezone.now(), test_passed=passed, test_result=logs.hide(result)
    )


def problem(provider: str, name: str, base_url: str) -> str:
    """Return why a config cannot use this key for this address, or an empty string."""
    if not name:
        return ""
    found = ProviderKey.objects.filter(name=name).first()
    if found is None:
        return f"there is no key named {name!r}; an admin can add it on the page Keys"
    if found.provider != provider:
        return f"the key {name!r} belongs to another provider ({found.get_provider_display()})"
    if not _is_at(base_url or PROVIDERS[provider].address, found.base_url):
        return f"the key {name!r} may be sent to {found.base_url} only; use that address or another key"
    return ""


def config_problems(config: RunConfig) -> list[tuple[str, str]]:
    """Return (dotted field, message) for every key in a config that cannot be used."""
    found = []
    sections: list[tuple[str, ModelConfig | EngineConfig]] = [(role, config.model_of(role)) for role in MODEL_ROLES]
    for name, section in [*sections, ("engine", config.engine)]:
        field = f"{name}.key"
        if section.key and section.kind not in PROVIDERS:
            found.append(
                (field, f"keys are only for {' or '.join(name for name, _ in provider_choices())}; leave it empty")
            )
        elif section.key and (text := problem(section.kind, section.key, section.base_url)):
            found.append((field, text))
    return found


def open_key(provider: str, name: str, base_url: str) -> Secret | None:
    """Return the key for a provider at an address: the named key, or the environment's if it is bound to that address.

    Raises :class:`Refused` when a named key cannot be used.
    """
    secret = _stored(provider, name, base_url) if name else _from_environment(provider, base_url)
    if secret is not None:
        logs.register_secret(secret)
    return secret


def _stored(provider: str, name: str, base_url: str) -> Secret:
    if text := problem(provider, name, base_url):
        raise Refused("no-key", f"{text[0].upper()}{text[1:]}. Then resume the run.")
    return Secret(decrypt(ProviderKey.objects.get(name=name)))


def decrypt(key: ProviderKey) -> str:
    """Decrypt a key. Raises :class:`Refused` when SECRET_KEY has changed since the key was stored."""
    try:
        return _cipher(settings.SECRET_KEY).decrypt(key.secret.encode()).decode()
    except InvalidToken:
        raise Refused(
            "unreadable-key",
            f"The key {key.name!r} was encrypted with another SECRET_KEY. An admin must replace it on the page Keys.",
        ) from None


def _from_environment(provider: str, base_url: str) -> Secret | None:
    entry = PROVIDERS[provider]
    bound = os.environ.get(entry.address_variable) or entry.address
    if not _is_at(base_url or bound, bound):
        return None
    found = next((value for name in entry.key_variables if (value := os.environ.get(name, "").strip())), "")
    return Secret(found) if found else None


def has_environment_key(provider: str) -> bool:
    """Return whether this process has a key in its environment. Workers may have a different environment."""
    return any(os.environ.get(name) for name in PROVIDERS[provider].key_variables)


def _is_at(base_url: str, bound: str) -> bool:
    """Return whether an address is at or below the bound one: same scheme, host and port, and path prefix."""
    try:
        one, other = urlsplit(base_url), urlsplit(bound)
        ports = [parts.port or {"https": 443, "http": 80}.get(parts.scheme) for parts in (one, other)]
    except ValueError:
        return False
    if (one.scheme, one.hostname, ports[0]) != (other.scheme, other.hostname, ports[1]):
        return False
    if one.username or one.password or ".." in one.path or "%" in one.path:
        return False
    return f"{one.path.rstrip('/')}/".startswith(f"{other.path.rstrip('/')}/")


def _address(text: str) -> str:
    text = text.strip()
    if not _is_plain_address(text):
        raise Refused(
            "bad-address", "Use an address like https://api.example.org/v1, without user name or password.", status=400
        )
    return text.rstrip("/")


def _is_plain_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
    return usable and len(text) <= 300 and not (parts.username or parts.password or parts.query or parts.fragment)


def _check_secret(secret: str) -> None:
    if not LEAST_LENGTH <= len(secret) <= 4096 or not secret.isprintable() or not secret.isascii() or " " in secret:
        raise Refused(
            "bad-key", f"A key has at least {LEAST_LENGTH} characters and no spaces. Paste the whole key.", status=400
        )


@cache
def _cipher(secret_key: str) -> Fernet:
    derived = HKDF(SHA256(), 32, salt=None, info=b"plumbline provider keys").derive(secret_key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))


def _admins_only(user: User) -> None:
    if not people.can_manage_keys(user):
        raise Refused("not-allowed", "Only admins can manage keys.", status=403)
