"""Which version answers: splits, approvals and holds."""
