"""Base distributions that own weights, for any kind of model."""
