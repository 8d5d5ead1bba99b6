"""The dashboard, the API and the admin: which address is answered by which page."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="runs"), name="home"),
    path("admin/", admin.site.urls),
]
