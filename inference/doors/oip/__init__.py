"""The Open Inference Protocol over HTTP: other people's clients, unchanged."""
