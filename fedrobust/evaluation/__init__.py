"""What a model is worth, with an interval for every figure."""
