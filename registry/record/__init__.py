"""Audit, events, leases: the ground floor."""
