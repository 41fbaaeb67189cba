"""Attacks on the images and labels that malicious clients train on."""
