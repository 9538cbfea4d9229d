"""What each arm answered, counted per minute."""
