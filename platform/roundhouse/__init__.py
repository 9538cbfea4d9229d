"""The Django project: settings, processes, health, errors on the wire."""
