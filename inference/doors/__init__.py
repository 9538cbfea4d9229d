"""Translation between the wire and serving; nothing else."""
