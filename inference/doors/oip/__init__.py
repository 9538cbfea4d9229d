"""The Open Inference Protocol over HTTP, for existing clients."""
