"""The address that clients of the Perspective API call."""
