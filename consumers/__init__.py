"""The doors for messages: what AWS Marketplace says, and the sandbox that stands in for it."""
