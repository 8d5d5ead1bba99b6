"""Read-only Django admin with search and export for all models. The services change the data."""

from django.contrib import admin

from alignment_app.admin import artifacts, data, judging, runs

__all__ = ["artifacts", "data", "judging", "runs"]

admin.site.site_header = "Plumbline"
admin.site.site_title = "Plumbline"
admin.site.index_title = "The record"
admin.site.enable_nav_sidebar = False
