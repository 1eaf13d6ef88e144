"""Keras layers that own the weights of a bijector, and the bijectors they make."""
