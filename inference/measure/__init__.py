"""Requests, errors and latency of each arm, counted per minute, and the Traffic panels that show them."""
