"""One module per format: what columns a file has, where its chunks are, and the values of some rows."""
