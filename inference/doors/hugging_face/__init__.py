"""The addresses that Hugging Face's clients call with a Model's URL."""
