"""The cost of a served request: this server, its peers and a bare application, with the same files in the same minutes."""
