"""The models of all rooms, imported here so that Django finds them."""

from registry.access import models as access_models
from registry.catalogue import models as catalogue_models
from registry.intake import models as intake_models
from registry.intake.checklist import models as checklist_models
from registry.intake.examples import models as examples_models
from registry.kit.api import models as api_models
from registry.record import models as record_models
from registry.traffic import models as traffic_models

__all__ = [
    "access_models",
    "api_models",
    "catalogue_models",
    "checklist_models",
    "examples_models",
    "intake_models",
    "record_models",
    "traffic_models",
]
