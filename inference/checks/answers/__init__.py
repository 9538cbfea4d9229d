"""Answers and what is expected of them: reading, comparing, counting. No queries, no child."""
