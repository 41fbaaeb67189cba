"""Claims on defences: made from sweeps, checked against their digests, broken by others, merged into one page."""
