"""Every record in Django's admin: to look at, to search, and to take out. What changes, changes by the services."""

from django.contrib import admin

from alignment_app.admin import artifacts, data, judging, runs

__all__ = ["artifacts", "data", "judging", "runs"]

admin.site.site_header = "Plumbline"
admin.site.site_title = "Plumbline"
admin.site.index_title = "The record"
admin.site.enable_nav_sidebar = False
