"""Pre-aggregators, one per module."""
