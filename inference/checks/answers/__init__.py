"""Answers and what is expected of them: reading, comparing, counting. No database, no child."""
