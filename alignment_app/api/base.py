"""Base classes of the API: permissions, filters and size limits."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import IO, Any, cast

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from rest_framework import exceptions, filters, parsers, permissions
from rest_framework.request import Request
from rest_framework.views import APIView

from alignment_app.services import people

LARGEST_NUMBER = 2**63 - 1
_PAGING = {"page", "page_size", "cursor", "format"}


class ByRole(permissions.IsAuthenticated):
    """Read requests need ``may_read`` of the view (default: a role with read access); other requests need its
    ``may_change`` (default: leads and admins)."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not super().has_permission(request, view):
            return False
        user = cast(User, request.user)
        if people.password_is_one_time(user):
            raise PermissionDenied("Change your one-time password first, at /accounts/password/.")
        if not getattr(view, "may_read", people.can_read)(user):
            raise PermissionDenied("Your role cannot read this. Ask an admin for access.")
        if request.method in permissions.SAFE_METHODS:
            return True
        if not getattr(view, "may_change", people.can_launch)(user):
            raise PermissionDenied("Your role cannot change this. Ask an admin for the lead role.")
        return True


class NamedFilters(filters.BaseFilterBackend):
    """``filters`` of a view: {parameter: (lookup, type or choices)}; ``search_in``: lookups for ``?search=``.

    An unknown parameter is an error: if it were ignored, the response would contain everything.
    """

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        known: Mapping[str, tuple[str, Any]] = getattr(view, "filters", {})
        search_in: tuple[str, ...] = getattr(view, "search_in", ())
        problems: dict[str, list[str]] = {}
        for name, value in request.query_params.items():
            if name in _PAGING or (name == "search" and search_in):
                continue
            if name not in known:
                there = ", ".join([*known, *(["search"] if search_in else [])]) or "none"
                problems[name] = [f"unknown filter; choose one of: {there}"]
                continue
            lookup, kind = known[name]
            try:
                queryset = queryset.filter(**{lookup: read_filter(str(value), kind)})
            except ValueError as error:
                problems[name] = [str(error)]
        if problems:
            raise exceptions.ValidationError(problems)
        words = request.query_params.get("search", "").strip()
        if words and search_in:
            if len(words) > 200 or "\x00" in words:
                raise exceptions.ValidationError({"search": ["give at most 200 plain characters"]})
            wanted = Q()
            for lookup in search_in:
                wanted |= Q(**{lookup: words})
            queryset = queryset.filter(wanted)
        return queryset

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """Parameters for the OpenAPI document."""
        described = []
        for name, (_, kind) in getattr(view, "filters", {}).items():
            schema: dict[str, Any] = {"type": "integer" if kind is int else "boolean" if kind is bool else "string"}
            if isinstance(kind, list | tuple):
                schema["enum"] = list(kind)
            described.append({"name": name, "in": "query", "required": False, "schema": schema})
        if getattr(view, "search_in", ()):
            described.append({"name": "search", "in": "query", "required": False, "schema": {"type": "string"}})
        return described


def read_filter(value: str, kind: Any) -> Any:
    """Convert a query parameter. Raises :class:`ValueError` with a message."""
    if kind is int:
        if not (value.isascii() and value.isdigit()) or len(value) > 19 or int(value) > LARGEST_NUMBER:
            raise ValueError("must be a whole number")
        return int(value)
    if kind is bool:
        if value not in ("true", "false"):
            raise ValueError("must be true or false")
        return value == "true"
    if kind is str:
        if len(value) > 200 or "\x00" in value:
            raise ValueError("must be at most 200 plain characters")
        return value
    if value not in kind:
        raise ValueError(f"must be one of {', '.join(kind)}")
    return value


class TooLarge(exceptions.APIException):
    """The request body exceeds the size limit."""

    status_code = 413
    default_code = "too-large"
    default_detail = "The request is too large. Import large files with the form or the command."


def bounded(stream: IO[bytes]) -> bytes:
    """Read the body up to the size limit of the settings."""
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body = stream.read(limit + 1)
    if len(body) > limit:
        raise TooLarge
    return body


class PlainJSON(parsers.JSONParser):
    """JSON parser with the size limit of the settings."""

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        found = super().parse(io.BytesIO(bounded(stream)), media_type, parser_context)
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise exceptions.ParseError("The JSON contains half of a Unicode surrogate pair.") from None
        return found


class YamlDocument(parsers.BaseParser):
    """Parser for a YAML document as the whole body: ``{"yaml": text}``."""

    media_type = "application/yaml"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            return {"yaml": bounded(stream).decode("utf-8-sig")}
        except UnicodeDecodeError:
            raise exceptions.ParseError("The document is not UTF-8 text.") from None


class BaseAPIView(APIView):
    """Base class of all API views."""

    permission_classes = [ByRole]
    parser_classes = [PlainJSON]
    filter_backends: Any = [NamedFilters]
