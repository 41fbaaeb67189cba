"""Local optimisers as pure functions with Keras' arithmetic. One file an optimiser."""

from fedrobust.training.optimizers.adam import Adam
from fedrobust.training.optimizers.optimizer import OPTIMIZERS, Optimizer, Step, Tensors
from fedrobust.training.optimizers.sgd import SGD

__all__ = ["OPTIMIZERS", "SGD", "Adam", "Optimizer", "Step", "Tensors"]
