"""Attacks on privacy, one file each; the family finds them there."""
