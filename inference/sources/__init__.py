"""Models that lie elsewhere, in a Triton repository, on an MLflow server or in an exported folder, and become versions here."""
