"""What training minimises, in nats a row."""
