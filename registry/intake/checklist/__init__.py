"""The checks of a version, step by step. The registry keeps the list; `inference.checks` works through it."""
