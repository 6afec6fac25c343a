"""Kafka out: every event, and the License Information of each license, for other systems."""
