"""Policies: what is looked for in contents, and what follows. They are data, numbered, and published by people."""
