"""The consumers without AWS, a queue or a database."""
