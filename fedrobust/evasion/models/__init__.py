"""Models under attack: the protocol of logits and gradients, compiled models, wrappers, model files, functions."""
