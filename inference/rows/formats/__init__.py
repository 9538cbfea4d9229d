"""One module per format: the columns of a file, its chunks, and the values of some rows."""
