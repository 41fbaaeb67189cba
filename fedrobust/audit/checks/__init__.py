"""The checks of an audit, a file for each family: of the model, its behaviour, its gradients, and the attacks."""
