"""How good detectors, policies and reviewers are, from what people said about contents."""
