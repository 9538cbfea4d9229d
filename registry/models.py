"""Gathers the rooms' rows for Django."""

from registry.access.models import ApiKey, ObjectScope, Tenant
from registry.catalogue.models import (
    Alias,
    AliasGuard,
    AliasMove,
    Artifact,
    Model,
    RouteClock,
    ServingSettings,
    Tag,
    Version,
    VersionCrash,
)
from registry.intake.checklist.models import CheckLine, CheckRun
from registry.intake.examples.models import ConformanceExample, GoldenResult, GoldenSet
from registry.intake.models import Upload
from registry.kit.api.models import IdempotencyRecord
from registry.record.models import (
    AuditCheckpoint,
    AuditRecord,
    Delivery,
    Event,
    Lease,
    Subscription,
)
from registry.traffic.models import Arm, Hold, Split, SplitRequest

__all__ = [
    "Alias",
    "AliasGuard",
    "AliasMove",
    "ApiKey",
    "Arm",
    "Artifact",
    "AuditCheckpoint",
    "AuditRecord",
    "CheckLine",
    "CheckRun",
    "ConformanceExample",
    "Delivery",
    "Event",
    "GoldenResult",
    "GoldenSet",
    "Hold",
    "IdempotencyRecord",
    "Lease",
    "Model",
    "ObjectScope",
    "RouteClock",
    "ServingSettings",
    "Split",
    "SplitRequest",
    "Subscription",
    "Tag",
    "Tenant",
    "Upload",
    "Version",
    "VersionCrash",
]
