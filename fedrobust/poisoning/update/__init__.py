"""Attacks on what a malicious client sends, alone."""
