"""What is sent to Kafka, without a broker."""
