"""Carriers of the federation: the only part of the library that knows Flower."""
