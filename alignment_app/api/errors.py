"""One shape for every error of the API."""

from __future__ import annotations

from typing import Any

from rest_framework.response import Response
from rest_framework.views import exception_handler


def one_shape(exc: Exception, context: dict[str, Any]) -> Response | None:
    """``{"error": {"code", "message", "fields": {field: [sentence, …]}}}`` for every refusal."""
    response = exception_handler(exc, context)
    if response is None:
        return None
    code = getattr(exc, "default_code", "error")
    detail = response.data
    fields: dict[str, list[str]] = {}
    if isinstance(detail, dict) and set(detail) == {"detail"}:
        message = str(detail["detail"])
    elif isinstance(detail, dict):
        fields = {name: [str(part) for part in (texts if isinstance(texts, list) else [texts])] for name, texts in detail.items()}
        message = "; ".join(f"{name}: {texts[0]}" for name, texts in fields.items())
    else:
        message = "; ".join(str(part) for part in detail)
    response.data = {"error": {"code": code, "message": message, "fields": fields}}
    return response
