"""The dashboard, the API and the admin."""

urlpatterns: list = []
