"""Bringing versions in: uploads, the file gate, the checklist, examples to check against."""
