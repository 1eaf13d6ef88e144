"""Plain values that everything else is made of: spaces, configs, recipes. Imports no TensorFlow."""
