"""Sweeps: the studies of all combinations of the values that a sweep file lists."""
