"""How a request reaches an engine: in this process, or through workers."""
