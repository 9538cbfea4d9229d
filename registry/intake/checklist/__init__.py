"""The checks of a version, step by step. The registry stores the list; `inference.checks` runs the steps."""
