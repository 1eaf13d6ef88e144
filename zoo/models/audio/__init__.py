"""Models of 16-bit audio."""
