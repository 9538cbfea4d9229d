"""People, roles, tenants and API keys: who may do what."""
