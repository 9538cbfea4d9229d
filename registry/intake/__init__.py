"""How versions are added: uploads, the file scan, the checklist, examples and golden sets."""
