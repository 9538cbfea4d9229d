"""Stewards: each process with an engine loads the versions that should be warm, and reports what it holds."""
