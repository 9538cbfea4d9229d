"""The steps of the checklist, each a function of what is checked."""
