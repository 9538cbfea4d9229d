"""Writing results: a part per chunk, and the parts as one file."""
