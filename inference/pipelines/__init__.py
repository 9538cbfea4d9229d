"""A library of tasks: requests in words to a model's inputs, and its outputs to labels and entities.

Nothing of it knows Django or HTTP. `pipeline.py` says what a task is; each task is one module.
"""
