"""Processing chunks in a worker, in separate threads, so that nothing else in the worker waits for jobs."""
