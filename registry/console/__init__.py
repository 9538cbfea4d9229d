"""The admin pages that join rooms: home, Models, versions, aliases and approval requests."""
