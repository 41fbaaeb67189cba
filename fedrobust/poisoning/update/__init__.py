"""Attacks on the update of a single malicious client."""
