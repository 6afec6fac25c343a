"""What the command line reads."""
