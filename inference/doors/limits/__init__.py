"""Limits for every door: rates, requests in flight, and fair shares."""
