"""Densities known up to a constant, which a model is fitted to without rows."""
