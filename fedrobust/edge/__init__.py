"""Models on devices: LiteRT files, what they answer, and how fast."""
