"""What a version's answers are compared with: its own few examples, and the golden set of its Model."""
