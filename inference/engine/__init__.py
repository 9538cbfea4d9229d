"""Warmed sessions and batches, as a library that needs only the standard library, numpy and ONNX Runtime."""
