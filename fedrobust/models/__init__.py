"""Classifiers: Keras networks as functions of their weights."""
