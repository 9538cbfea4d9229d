"""The Open Inference Protocol and two small services over gRPC."""
