"""Tables of cases, where each has its word beside it."""

from typing import Any

import pytest


def cases(names: str, /, **rows: Any) -> pytest.MarkDecorator:
    """Parametrize over these names: a value for each word, a tuple where there are several names."""
    return pytest.mark.parametrize(names, list(rows.values()), ids=list(rows))
