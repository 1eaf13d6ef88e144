"""Pure tensor functions: no variables, no layers.

Each that changes a variable states its log-det.
"""
