"""How long what people write may be."""

MAX_REASON = 500
