"""Pages of the API."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination, PageNumberPagination


class Pages(PageNumberPagination):
    """``?page=2&page_size=100``; at most 500 a page."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500
    invalid_page_message = "There is no page {page_number}; {message}."


class Follow(CursorPagination):
    """For tables of millions of rows: follow ``next``. Nothing is counted, and any page is as quick as the first."""

    ordering = "id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500
    cursor_query_description = "Where to go on: part of the address in ``next`` of the page before."
