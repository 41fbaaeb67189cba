"""Local training: the pure local update, recipes, losses, optimisers, augmentations; distillation."""
