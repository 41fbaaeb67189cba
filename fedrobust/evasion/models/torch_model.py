"""A PyTorch module as a target of attacks, with gradients by autograd.

PyTorch, which is the user's own, is imported inside functions.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrobust.errors import ConfigError
from fedrobust.evasion.models.adapter import Adapter


@dataclass(frozen=True, eq=False)
class TorchModel(Adapter):
    """A PyTorch module in evaluation mode, as a function of images with the channels last.

    Attributes:
        module: a ``torch.nn.Module`` from (n, channels, height, width) float32 to logits or probabilities (n, classes).
        name: for messages and results.
        input_shape: (height, width, channels) of its images; None: as the data have them.
    """

    module: Any
    name: str
    input_shape: tuple[int | None, int | None, int | None] = (None, None, None)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the outputs (n, classes) for `images` (n, height, width, channels) float32."""
        import torch

        with torch.no_grad():
            return np.asarray(self._outputs(torch.from_numpy(images)).float().cpu().numpy())

    @property
    def vjp(self) -> Any:
        """The vector-Jacobian products, by autograd."""
        return self.products

    def products(self, images: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Return the gradients of ``(vectors[i] * outputs[i]).sum()`` by image i, in the shape of `images`."""
        import torch

        given = torch.from_numpy(images).requires_grad_()
        outputs = self._outputs(given)
        weights = torch.from_numpy(vectors).to(outputs.device).reshape(outputs.shape)
        # Not backward(), which would leave gradients in the module's parameters.
        (found,) = torch.autograd.grad((outputs * weights).sum(), given)
        return np.asarray(found.numpy())

    @property
    def digest(self) -> str:
        """SHA-256 of the module's layers, as they print, and of its parameters and buffers."""
        sha = hashlib.sha256(f"{type(self.module).__qualname__} {self.module} {self.input_shape}".encode())
        for name, values in self.module.state_dict().items():
            sha.update(name.encode() + np.ascontiguousarray(values.detach().cpu().numpy()).tobytes())
        return sha.hexdigest()

    def _outputs(self, images: Any) -> Any:
        parameter = next(iter(self.module.parameters()), images)
        # On the device and in the precision of the module.
        outputs = self.module(images.to(parameter).permute(0, 3, 1, 2))
        # Hugging Face's models return an object.
        return getattr(outputs, "logits", outputs)


def torch_model(module: Any, channels: int = 0, size: int = 0, name: str = "") -> TorchModel:
    """Return a PyTorch module for `audit_model` and `attack_model`, with its gradients.

    The module is put into evaluation mode. Its input format is declared as of other models, such as ``input="0..1"``,
    without ``channels-first``, which is known.

    Args:
        module: a ``torch.nn.Module`` from (n, channels, height, width) float32 to logits or probabilities (n, classes).
        channels: 3 to copy grey images to red, green and blue; 0: the data's.
        size: side in pixels that images are resized to; 0: the data's.
        name: for messages and results; the class's name if empty.

    Raises:
        ConfigError: it is no module, or PyTorch is not installed.

    Example:
        >>> net = torchvision.models.resnet18(num_classes=2)  # doctest: +SKIP
        >>> fedrobust.audit_model(fedrobust.torch_model(net, channels=3), "pneumoniamnist")  # doctest: +SKIP
    """
    try:
        from torch.nn import Module
    except ImportError as error:
        raise ConfigError(
            f"module: PyTorch cannot be imported ({error}); install it: pip install 'fedrobust[torch]'"
        ) from error
    if not isinstance(module, Module):
        raise ConfigError(
            f"module: a {type(module).__name__}; hand in a torch.nn.Module, with its weights loaded"
        )
    if channels not in (0, 1, 3) or size < 0:
        raise ConfigError(
            f"channels = {channels}, size = {size}: channels is 1, 3 or 0 for the data's; size is a number of pixels, "
            "or 0 for the data's"
        )
    module.eval()
    return TorchModel(module, name or type(module).__name__, (size or None, size or None, channels or None))
