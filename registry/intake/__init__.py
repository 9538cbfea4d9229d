"""How versions come in: uploads, the file scan, the checklist, examples and golden sets."""
