"""Attacks of clients that know one another's and the honest ones' updates."""
