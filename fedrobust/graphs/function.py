"""A function of tensors that is traced and optimised once, or read from a file of an earlier process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from fedrobust.graphs.kept import kept_files
from fedrobust.graphs.library import NotKeepableError, from_bytes, to_bytes
from fedrobust.graphs.optimized import first_call
from fedrobust.graphs.origin import Origin
from fedrobust.lazy import tf
from fedrobust.memoize import part


class GraphFunction:
    """What `tf.function` returns for one signature, kept on disk where it is known what it depends on.

    Args:
        function: of tensors; returns a tensor or several.
        signature: `tf.TensorSpec` of its arguments, or tuples of them.
        origin: what it depends on; None where that is not known, as of a user's own recipe.
        purpose: which of the functions of that origin it is.

    Example:
        >>> double = GraphFunction(lambda x: 2 * x, [tf.TensorSpec([None], tf.float32)])
        >>> double(tf.constant([1.0, 2.0])).numpy().tolist()
        [2.0, 4.0]
    """

    def __init__(
        self,
        function: Callable[..., Any],
        signature: Sequence[Any],
        origin: Origin | None = None,
        purpose: str = "",
    ):
        self.traced = tf.function(function, input_signature=signature, autograph=False)
        self._signature = list(signature)
        self._specs = tf.nest.flatten(self._signature)
        self._origin = origin
        self._purpose = purpose
        self._first = threading.Lock()
        self._called = False

    def __call__(self, *arguments: Any) -> Any:
        """Return the function's results for `arguments`, of the signature."""
        if not tf.executing_eagerly():
            return self.traced(*arguments)
        if self._called:
            return self._call(arguments)
        # TensorFlow optimises a graph at its first call, and once more for every thread that calls it meanwhile.
        with self._first:
            found = self._call(arguments) if self._called else self._call_first(arguments)
            self._called = True
            return found

    def _call(self, arguments: Sequence[Any]) -> Any:
        if self._kept is None:
            return self.traced(*arguments)
        tensors = [
            tf.convert_to_tensor(each, spec.dtype)
            for each, spec in zip(tf.nest.flatten(list(arguments)), self._specs, strict=True)
        ]
        if not all(spec.is_compatible_with(each) for spec, each in zip(self._specs, tensors, strict=True)):
            return self.traced(*arguments)  # which says what is wrong with them
        return self._kept(tensors)

    def _call_first(self, arguments: Sequence[Any]) -> Any:
        """Call the function, and keep the graph that TensorFlow makes of it where none was read."""
        files = kept_files()
        if files is None or not self.name or self._kept is not None:
            return self._call(arguments)
        traced = self.traced.get_concrete_function()
        found, graph = first_call(traced, lambda: self._call(arguments))
        if graph is not None:
            with suppress(NotKeepableError):
                files.write(self.name, to_bytes(traced, graph))
        return found

    def ready(self) -> GraphFunction:
        """Read or trace the function now rather than at its first call, and return it.

        Raises:
            Exception: whatever tracing raises.
        """
        if self._kept is None:
            self.traced.get_concrete_function()
        return self

    def rehearsed(self, size: int) -> GraphFunction:
        """Call the function on zeros, so that TensorFlow optimises its graph now, and return it.

        Args:
            size: of the axes whose size the signature leaves open.

        Raises:
            Exception: whatever tracing raises.
        """

        def zeros(spec: tf.TensorSpec) -> tf.Tensor:
            return tf.zeros([size if length is None else length for length in spec.shape], spec.dtype)

        self(*tf.nest.map_structure(zeros, self._signature))
        return self

    @property
    def graph(self) -> Any:
        """Python's side of the graph; the function is traced for it."""
        return self.traced.get_concrete_function().graph

    @part
    def _kept(self) -> Callable[[Sequence[tf.Tensor]], Any] | None:
        """The function as it was read; None where it is traced."""
        files = kept_files()
        if files is None or not self.name:
            return None
        content = files.read(self.name)
        if content is not None:
            try:
                return from_bytes(content)
            except Exception as error:  # of TensorFlow's many kinds; whatever it is, tracing does without
                files.forget(self.name, f"TensorFlow cannot read it ({type(error).__name__})")
        return None

    @property
    def name(self) -> str:
        """The file's; empty where the function is not kept. An optimised graph has the devices in it."""
        devices = ", ".join(device.device_type for device in tf.config.list_physical_devices())
        return self._origin.name(f"{self._purpose} on {devices}") if self._origin else ""
