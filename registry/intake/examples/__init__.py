"""What a version's answers are compared with: its own examples, and its Model's golden set."""
