"""Appeals: an author objects to a restriction, and another person decides again."""
