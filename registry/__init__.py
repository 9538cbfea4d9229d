"""What exists, which version serves whom, and who changed it."""
