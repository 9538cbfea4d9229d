"""A model's inputs and outputs: signatures, and tensors made from what callers send. A library."""
