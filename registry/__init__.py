"""The registry: Models and versions, which version serves which callers, and who changed what."""
