"""Many studies at once: every combination of the values that a sweep file lists."""
