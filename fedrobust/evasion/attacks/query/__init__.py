"""Black-box attacks: queries of logits or decisions, no gradients."""
