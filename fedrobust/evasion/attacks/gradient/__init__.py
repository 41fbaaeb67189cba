"""Attacks that climb a loss within epsilon."""
