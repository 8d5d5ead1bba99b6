"""The OpenAPI document and its documentation page."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseBase
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import IsAuthenticated

from training.config import RunConfig


def add_config(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Add the config fields with their help and limits, from the config class, to the OpenAPI document."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    config = RunConfig.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(config.pop("$defs", {}))
    schemas["RunConfig"] = config
    return result


class SchemaView(SpectacularAPIView):
    permission_classes = [IsAuthenticated]


class DocsView(SpectacularSwaggerSplitView):
    permission_classes = [IsAuthenticated]
    title = "Plumbline API"
    url_name = "api-schema"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Redirect anonymous visitors to the login page."""
        if not request.user.is_authenticated and "HTTP_AUTHORIZATION" not in request.META:
            return redirect_to_login(request.get_full_path())
        return super().dispatch(request, *args, **kwargs)
