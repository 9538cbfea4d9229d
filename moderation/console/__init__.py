"""The admin pages of moderation: policies with their editor, and decisions with their evidence. No rules."""
