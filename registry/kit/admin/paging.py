"""Pages of tables that grow without end."""

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

COUNT_AT_MOST = 10_000


class NoCountPaginator(Paginator):  # type: ignore[type-arg]  # takes no parameter at run time
    """Counts to 10,000 and no further: the list reaches that far back, filters lead to what is older.

    Counting a million rows takes longer than everything else on their page.
    """

    template_name = "admin/registry/pagination.html"

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return len(rows)
        return rows.order_by().values("pk")[:COUNT_AT_MOST].count()

    @property
    def is_cut(self) -> bool:
        """Whether there is more than the pages show."""
        return self.count >= COUNT_AT_MOST
