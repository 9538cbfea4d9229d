"""What a version is needed for. Rooms above tell; a version that is needed cannot be archived."""

from collections.abc import Callable

from registry.catalogue.models import Version

FindUse = Callable[[Version], str | None]
_finders: list[FindUse] = []


def register_use(find: FindUse) -> None:
    """Ask this function about a version, too; it returns a sentence where the version is needed."""
    if find not in _finders:
        _finders.append(find)


def uses_of(version: Version) -> list[str]:
    return [sentence for find in _finders if (sentence := find(version)) is not None]


def _alias_use(version: Version) -> str | None:
    names = list(version.aliases.order_by("name").values_list("name", flat=True))
    return f"{version} is asked for as {', '.join('@' + name for name in names)}." if names else None


register_use(_alias_use)
