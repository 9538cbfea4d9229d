"""The story of a request: what its signed id and the rows tell, without a log."""
