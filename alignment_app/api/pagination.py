"""Pagination of the API."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination, PageNumberPagination


class Pages(PageNumberPagination):
    """``?page=2&page_size=100``; at most 500 per page."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500
    invalid_page_message = "There is no page {page_number}; {message}."


class Follow(CursorPagination):
    """Cursor pagination for large tables: follow ``next``. Rows are not counted, and all pages are equally fast."""

    ordering = "id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500
    cursor_query_description = "The cursor, part of ``next`` in the previous page."
