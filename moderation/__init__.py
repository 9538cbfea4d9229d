"""Review of content by people and models."""
