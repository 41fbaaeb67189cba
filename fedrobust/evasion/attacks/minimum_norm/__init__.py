"""Attacks that look for the nearest adversary of each image."""
