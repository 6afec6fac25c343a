"""Tests against real databases, queues and sockets."""
