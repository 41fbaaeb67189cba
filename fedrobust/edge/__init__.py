"""Edge deployment: LiteRT files, their predictions and latency."""
