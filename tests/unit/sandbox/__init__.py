"""The sandbox Marketplace without its server and queue."""
