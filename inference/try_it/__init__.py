"""The panel "Try it" of a Model's and a version's page, and what it asks."""
