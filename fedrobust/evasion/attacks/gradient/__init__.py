"""White-box attacks: gradient ascent of a loss within epsilon."""
