"""Other formats become ONNX here, in confined children that run in an environment of their own for each runtime."""
