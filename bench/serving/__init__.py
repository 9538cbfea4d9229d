"""What a served request costs: this server, its peers and a bare application, with the same files in the same minutes."""
