"""Normalising flows, one published system a file."""
