"""Flower's part: weights as records, messages within limits, identities, and its strategies as rules."""
