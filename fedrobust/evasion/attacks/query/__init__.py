"""Attacks that ask the model and need no gradient."""
