"""Keras layers: the only place where variables are created."""
