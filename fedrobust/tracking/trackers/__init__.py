"""One tracker a module."""
