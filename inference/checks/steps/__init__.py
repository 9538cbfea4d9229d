"""The steps of the checklist, each a function of the check's context."""
