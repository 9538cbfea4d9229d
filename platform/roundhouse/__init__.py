"""The Django project: settings, processes, health checks and HTTP errors."""
