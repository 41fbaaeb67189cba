"""The interface to Flower: weights as records, checked replies, identities, Flower's strategies as rules."""
