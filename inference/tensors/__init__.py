"""What a model takes and gives: signatures, and tensors made from what callers send. A library."""
