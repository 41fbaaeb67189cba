"""The coordinator: Flower's ServerApp, the round loop, and the stages of a study."""
