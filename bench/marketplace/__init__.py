"""Very many messages about few licenses, through a real queue and two processes, as AWS would see it."""
