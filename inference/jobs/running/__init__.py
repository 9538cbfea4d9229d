"""Doing chunks in a worker: threads of their own, so that nothing else of the worker waits for jobs."""
