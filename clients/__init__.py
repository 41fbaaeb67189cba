"""The client side: Flower's ClientApp, local training, and malicious clients."""
