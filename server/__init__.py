"""What the coordinator runs: its Flower ServerApp, strategy, evaluator and distiller."""
