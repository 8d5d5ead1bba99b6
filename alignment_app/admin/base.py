"""Admin lists for millions of rows, and export actions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.paginator import Page, Paginator
from django.db.models import Max, Q, QuerySet
from django.http import HttpRequest, HttpResponseBase

from alignment_app.downloads import Download
from alignment_app.export_formats import EXPORT_FORMATS
from alignment_app.selectors.exports import Selection
from alignment_app.services.errors import Refused
from alignment_app.services.exports import export

#: Maximum number of rows of a filtered list that are counted and paginated.
MOST_COUNTED = 10_000
_BY_NUMBER = ("-pk", "-id", "pk", "id")
_TOKEN = re.compile(r"([a-z_]+):(\d{1,18})$")


class QuickPaginator(Paginator):
    """Pagination without counting or skipping rows of a whole table.

    An unfiltered table is paginated by ranges of primary keys, so a page with deleted rows is shorter. A filtered list
    is counted up to a limit.
    """

    object_list: QuerySet[Any]

    @property
    def _by_number(self) -> bool:
        query = self.object_list.query  # the admin repeats the order field
        in_order = len(set(query.order_by)) == 1 and query.order_by[0] in _BY_NUMBER
        return not query.where and not query.distinct and in_order

    @property
    def count(self) -> int:
        if not hasattr(self, "_count"):
            if self._by_number:
                self._count = self._top()
            else:
                self._count = self.object_list.order_by()[:MOST_COUNTED].count()
        return self._count

    def page(self, number: Any) -> Page[Any]:
        if not self._by_number:
            return super().page(number)
        number = self.validate_number(number)
        if str(self.object_list.query.order_by[0]).startswith("-"):
            high = self._top() - (number - 1) * self.per_page
            low = high - self.per_page
        else:
            low = (number - 1) * self.per_page
            high = low + self.per_page
        return Page(self.object_list.filter(pk__gt=low, pk__lte=high), number, self)

    def _top(self) -> int:
        """The largest primary key, which is the row count if no row was deleted."""
        if not hasattr(self, "_greatest"):
            model = self.object_list.model
            self._greatest: int = model._default_manager.order_by().aggregate(top=Max("pk"))["top"] or 0
        return self._greatest


class RecordAdmin(admin.ModelAdmin):
    """Read-only admin. Only the services create and change rows."""

    paginator = QuickPaginator
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 200
    ordering = ("-pk",)
    sortable_by = ("id",)
    search_fields = ("=id",)
    #: {word: lookup}: the indexed filter of ``word:number`` in the search box.
    numbers: dict[str, str] = {}
    #: Lookups for other words; these scan the table.
    words: tuple[str, ...] = ()

    def get_search_help_text(self) -> str:
        examples = ", ".join(f"{name}:3" for name in self.numbers)
        slow = " Other words search the text, which is slow in large tables." if self.words else ""
        return f"A number{f', or {examples}' if examples else ''}.{slow}"

    @property
    def search_help_text(self) -> str:  # type: ignore[override]
        return self.get_search_help_text()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        for word in search_term.replace("\x00", "").split():
            token = _TOKEN.match(word)
            if token and token[1] in self.numbers:
                queryset = queryset.filter(**{self.numbers[token[1]]: int(token[2])})
            elif word.lstrip("#").isascii() and word.lstrip("#").isdigit() and len(word) < 19:
                queryset = queryset.filter(pk=int(word.lstrip("#")))
            elif self.words:
                wanted = Q()
                for lookup in self.words:
                    wanted |= Q(**{lookup: word})
                queryset = queryset.filter(wanted)
            else:
                return queryset.none(), False
        return queryset, False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


Action = Callable[[Any, HttpRequest, QuerySet[Any]], "HttpResponseBase | None"]


def export_actions(kind: str, narrow: Callable[[QuerySet[Any]], QuerySet[Any]] | None = None) -> list[Action]:
    """An export action per format: the selected rows, or the rows of ``kind`` that ``narrow`` returns for them."""
    return [_export_action(kind, file_format, narrow) for file_format in EXPORT_FORMATS]


def _export_action(kind: str, file_format: str, narrow: Callable[[QuerySet[Any]], QuerySet[Any]] | None) -> Action:
    @admin.action(description=f"Export {kind} as {EXPORT_FORMATS[file_format].label}", permissions=["view"])
    def act(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        marked: dict[str, Any] = {"table": model_admin.model._meta.model_name}
        if narrow is not None:
            marked["numbers"] = list(queryset.order_by("pk").values_list("pk", flat=True)[:1000])
        found = narrow(queryset) if narrow else queryset
        try:
            return Download(export(Selection(kind), file_format, user=request.user, found=found, marked=marked))
        except Refused as error:
            messages.error(request, error.message)
            return None

    act.__name__ = f"export_{kind}_{file_format}"
    return act


def short(text: str, length: int = 100) -> str:
    """Shorten a text to one line."""
    plain = " ".join(text[: 2 * length].split())
    return plain if len(plain) <= length else f"{plain[: length - 1]}…"
