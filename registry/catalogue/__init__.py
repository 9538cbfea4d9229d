"""Models, versions and their artifacts."""
