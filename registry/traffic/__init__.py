"""Which version answers: splits and their arms."""
