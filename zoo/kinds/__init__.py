"""Base classes of models, one a file: what a model can do follows from what it inherits."""
