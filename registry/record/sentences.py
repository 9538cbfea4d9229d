"""What an audit record says, as one plain sentence."""

from registry.record.models import AuditRecord


def describe(record: AuditRecord) -> str:
    """One plain sentence per change."""
    return f"{record.action.replace('_', ' ')}: {record.object_label}"
