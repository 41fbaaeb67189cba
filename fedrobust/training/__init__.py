"""How a client learns: the pure local update, its recipes and optimisers, and distillation."""
