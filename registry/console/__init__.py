"""The admin pages that combine several rooms: home, Models, versions, aliases and approval requests."""
