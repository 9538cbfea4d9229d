"""Running models: engine, executors, doors."""
