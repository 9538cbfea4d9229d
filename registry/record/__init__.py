"""Audit records, events with their deliveries, and leases."""
