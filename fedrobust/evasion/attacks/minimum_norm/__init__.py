"""Minimum-norm attacks: the adversary closest to each image."""
