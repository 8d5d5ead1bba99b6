"""One error format for the whole API."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, RequestDataTooBig
from django.db import OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from alignment_app.services.errors import Refused
from training.config import ConfigError

log = logging.getLogger(__name__)


def error_response(exc: Exception, context: dict[str, Any]) -> Response:
    """Return ``{"error": {"code", "message", "fields": {field: [message, …]}}}`` for every error."""
    if isinstance(exc, ConfigError):
        return _answer(400, "invalid-config", "The config is not valid.", _by_field(exc.problems))
    if isinstance(exc, Refused):
        return _answer(exc.status, exc.code, exc.message, getattr(exc, "fields", None))
    if isinstance(exc, RecursionError):
        return _answer(400, "invalid", "The request is nested too deep.")
    if isinstance(exc, ObjectDoesNotExist | Http404):
        exc = exceptions.NotFound("Not found.")
    if isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied(*exc.args)
    if isinstance(exc, RequestDataTooBig):
        return _answer(413, "too-large", "The request is too large. Import large files with the command.")
    if isinstance(exc, OperationalError):
        log.exception("the database did not respond")
        return _answer(503, "busy", "The database is busy or not available. Try again later.")
    response = exception_handler(exc, context)
    if response is None:
        log.exception("an API request failed")
        return _answer(500, "error", "Internal server error. See the server log.")
    message, fields = _read(response.data)
    code = str(getattr(exc, "default_code", "error")).replace("_", "-")
    if isinstance(exc, exceptions.APIException) and not isinstance(exc, exceptions.ValidationError):
        found = exc.get_codes()
        code = (found if isinstance(found, str) else code).replace("_", "-")
    answer = _answer(response.status_code, code, message, fields)
    for name in ("WWW-Authenticate", "Retry-After"):
        if name in response.headers:
            answer[name] = response.headers[name]
    return answer


def _answer(status_code: int, code: str, message: str, fields: dict[str, list[str]] | None = None) -> Response:
    return Response({"error": {"code": code, "message": message, "fields": fields or {}}}, status=status_code)


def _by_field(problems: list[tuple[str, str]]) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for field, sentence in problems:
        fields.setdefault(field or "config", []).append(sentence)
    return fields


def _read(detail: Any) -> tuple[str, dict[str, list[str]]]:
    """Split the framework's error detail into a message and messages by field."""
    if isinstance(detail, dict) and set(detail) == {"detail"}:
        return str(detail["detail"]), {}
    if not isinstance(detail, dict):
        return "; ".join(_sentences(detail)) or "The request is not valid.", {}
    fields = {str(name): _sentences(texts) for name, texts in detail.items()}
    general = fields.pop("non_field_errors", [])
    message = "; ".join(general) or "; ".join(f"{name}: {texts[0]}" for name, texts in fields.items() if texts)
    return message or "The request is not valid.", fields


def _sentences(found: Any) -> list[str]:
    if isinstance(found, dict):
        return [f"{name}: {text}" for name, texts in found.items() for text in _sentences(texts)]
    if isinstance(found, list | tuple):
        return [text for part in found for text in _sentences(part)]
    return [str(found)]
