"""The client side: Flower's ClientApp, and what a hospital runs in it."""
