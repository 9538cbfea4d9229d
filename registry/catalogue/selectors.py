"""Read-only queries on the catalogue."""

from collections.abc import Callable
from difflib import get_close_matches

from django.contrib.auth.models import User
from django.db.models import Case, Prefetch, Q, QuerySet, When
from django.db.models.functions import Now

from registry.access.models import ApiKey
from registry.access.policies import Right, rights_by_role, rights_of_scopes
from registry.catalogue.models import Alias, AliasGuard, AliasMove, Artifact, Model, ServingSettings, Version
from registry.catalogue.serving_settings import DEFAULTS, ServingValues
from registry.errors import NotFound
from registry.kit.actors import Actor, in_scope, visible_models
from registry.kit.registrations import Registrations

# Each returns a sentence if something uses the version; a version in use cannot be archived.
USES: Registrations[Callable[[Version], str | None]] = Registrations("use of versions")
_SHORTEST_NEAR_MISS = 3
_NAMES_COMPARED = 2_000
MAX_SLUG = 64


def models_for(by: Actor) -> QuerySet[Model]:
    """The Models the actor may see, with owner and tags."""
    return visible_models(Model.objects.select_related("owner").prefetch_related("tags"), by)


def model_named(slug: str, by: Actor) -> Model:
    """Find a Model; raise NotFound if there is none or the actor may not see it."""
    model = models_for(by).filter(slug=slug).first()
    if model is None:
        raise NotFound(f"There is no Model named {slug[:64]!r}, or you may not see it.")
    return model


def find_models(text: str, by: Actor) -> QuerySet[Model, tuple[str, str]]:
    """Slug and title of the actor's Models whose slug or title contains the text; those that start with it come first."""
    models = visible_models(Model.objects.all(), by)
    if not text:
        return models.order_by("slug").values_list("slug", "title")
    rank = Case(When(slug=text, then=0), When(slug__istartswith=text, then=1), default=2)
    matching = models.filter(Q(slug__icontains=text) | Q(title__icontains=text))
    return matching.order_by(rank, "slug").values_list("slug", "title")


def near_miss(slug: str, by: Actor) -> str:
    """The Model that was probably meant by a wrong name, empty if none is similar."""
    if len(slug) < _SHORTEST_NEAR_MISS or len(slug) > MAX_SLUG:
        return ""
    # A typo rarely changes both ends of a name.
    similar = Q(slug__istartswith=slug[0]) | Q(slug__iendswith=slug[-2:])
    names = visible_models(Model.objects.filter(similar), by).exclude(slug=slug).order_by("slug")
    near = get_close_matches(slug.lower(), names.values_list("slug", flat=True)[:_NAMES_COMPARED], 1, 0.7)
    return near[0] if near else ""


def version_numbered(model: Model, number: int) -> Version:
    version = Version.objects.select_related("model", "artifact", "source", "derived_from__model").filter(
        model=model, number=number
    ).first()  # fmt: skip
    if version is None:
        raise NotFound(f"{model.slug} has no version {number}.")
    return version


def versions_for(by: Actor) -> QuerySet[Version]:
    return in_scope(Version.objects.select_related("model", "artifact", "source", "derived_from__model"), by)


def artifacts_for(by: Actor) -> QuerySet[Artifact]:
    """The files of versions the actor may see."""
    return Artifact.objects.filter(versions__in=in_scope(Version.objects.all(), by)).distinct()


def aliases_for(by: Actor) -> QuerySet[Alias]:
    return in_scope(Alias.objects.select_related("model", "version"), by)


def moves_for(by: Actor) -> QuerySet[AliasMove]:
    return in_scope(AliasMove.objects.select_related("alias__model", "version"), by, model="alias__model_id")


def guards_for(by: Actor) -> QuerySet[AliasGuard]:
    return in_scope(_guards(), by)


def guard_of(model: Model, name: str) -> AliasGuard | None:
    return _guards().filter(model=model, name=name).first()


def guards_by_name(model: Model) -> dict[str, AliasGuard]:
    return {guard.name: guard for guard in _guards().filter(model=model)}


def people_who_may_move(model: Model) -> QuerySet[User]:
    """Active people whose roles and scope let them move the Model's unguarded aliases."""
    roles = [role for role, rights in rights_by_role().items() if Right.MOVE_ALIAS in rights]
    people = User.objects.filter(
        Q(groups__name__in=roles) | Q(is_superuser=True),
        Q(object_scope=None) | Q(object_scope__models=model),
        is_active=True,
    )
    return people.distinct().order_by("username")


def keys_that_may_move(model: Model) -> QuerySet[ApiKey]:
    """Valid keys whose scopes let them move the Model's unguarded aliases."""
    keys = ApiKey.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=Now()),
        Q(all_models=True) | Q(only_models=model),
        revoked_at=None,
    )
    scopes_of = dict(keys.values_list("pk", "scopes"))
    ids = [pk for pk, scopes in scopes_of.items() if Right.MOVE_ALIAS in rights_of_scopes(frozenset(scopes))]
    return ApiKey.objects.filter(pk__in=ids).select_related("tenant").order_by("name", "pk")


def _guards() -> QuerySet[AliasGuard]:
    return AliasGuard.objects.select_related("model").prefetch_related(
        Prefetch("people", User.objects.order_by("username")), Prefetch("keys", ApiKey.objects.order_by("pk"))
    )


def serving_for(by: Actor) -> QuerySet[ServingSettings]:
    return in_scope(ServingSettings.objects.select_related("version__model"), by, model="version__model_id")


def current_serving(version_id: int) -> ServingValues:
    row = ServingSettings.objects.filter(version=version_id, is_current=True).first()
    return ServingValues.from_json(row.values) if row is not None else DEFAULTS


def uses_of(version: Version) -> list[str]:
    """Return a sentence for each use of the version."""
    return [sentence for use in USES if (sentence := use(version)) is not None]


def _alias_use(version: Version) -> str | None:
    names = list(version.aliases.order_by("name").values_list("name", flat=True))
    return f"{version} has the alias {', '.join('@' + name for name in names)}." if names else None


USES.add("aliases", _alias_use)
