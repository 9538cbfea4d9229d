"""What runs in a converter's environment: the standard library, the packages pinned for it, and `inference.confinement`."""
