"""Contents that need a person: opened, joined, queued, and withdrawn when nobody is needed any more."""
