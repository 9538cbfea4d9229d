"""What a served request costs: this server, its peers and a bare callable, with the same files in the same minutes."""
