"""Bundles: a version with all that belongs to it in one signed file, from one installation to another."""
