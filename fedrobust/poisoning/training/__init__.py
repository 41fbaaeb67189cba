"""Attacks on how malicious clients train."""
