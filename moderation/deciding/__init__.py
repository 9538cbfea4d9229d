"""Deciding: contents are read, detectors are asked, and the policy's rules become a decision with its evidence."""
