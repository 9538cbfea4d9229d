"""REST: JSON or binary in, the same out."""
