"""Warmed sessions and batches, as a library: standard library, numpy and ONNX Runtime, nothing else."""
