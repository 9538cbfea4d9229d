"""The address that OpenAI's clients call to moderate."""
