"""What a hospital runs: its Flower ClientApp and what stands behind it."""
