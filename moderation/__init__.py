"""Moderation: policies as data, decisions with evidence, and the doors through which contents arrive."""
