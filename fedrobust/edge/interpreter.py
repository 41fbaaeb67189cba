"""Run an exported file on images in [0, 1], for all tensor types."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fedrobust.edge.noise import without_noise
from fedrobust.errors import FedrobustError, first_line

Images = NDArray[np.float32]
Logits = NDArray[np.float32]
Codes = NDArray[np.int8] | NDArray[np.uint8]


class LiteRTFileError(FedrobustError, ValueError):
    """A LiteRT file cannot be used; the message says why."""


@dataclass(frozen=True)
class Quantisation:
    """Affine quantisation to int8 or uint8: real = scale * (code - zero_point).

    Args:
        scale: real distance of two neighbouring codes, positive.
        zero_point: the code of 0, in -128 .. 127 (0 .. 255 of uint8).
        dtype: "int8" or "uint8".

    Source: Jacob et al. (2018), Quantization and training of neural networks for efficient
    integer-arithmetic-only inference, arXiv:1712.05877, equation 1.

    Example:
        >>> pixels = Quantisation(scale=1 / 255, zero_point=-128)
        >>> pixels.quantise(np.array([0.0, 0.2, 1.0]))
        array([-128,  -77,  127], dtype=int8)
    """

    scale: float
    zero_point: int
    dtype: Literal["int8", "uint8"] = "int8"

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest real number with a code."""
        codes = np.iinfo(self.dtype)
        return self.scale * (codes.min - self.zero_point), self.scale * (codes.max - self.zero_point)

    def quantise(self, values: NDArray[np.floating]) -> Codes:
        """Return the nearest codes of `values`, clipped to the range of codes."""
        codes = np.rint(values / np.float32(self.scale)) + np.float32(self.zero_point)
        kind = np.iinfo(self.dtype)
        clipped: Codes = np.clip(codes, kind.min, kind.max).astype(self.dtype)
        return clipped

    def dequantise(self, codes: Codes) -> NDArray[np.float32]:
        """Return the real numbers of `codes`."""
        return np.float32(self.scale) * (codes.astype(np.float32) - np.float32(self.zero_point))


@dataclass(frozen=True)
class Interpreter:
    """An exported file, opened by LiteRT; make it with `Interpreter.open`. For one thread at a time.

    Args:
        path: the ``.tflite`` file.
        threads: threads of one inference.
        batch: how many images run at once.
        image_shape: (height, width, channels) of its input.
        input_code: how its input is quantised; None for float32.
        output_code: how its output is quantised; None for float32.
        runtime: LiteRT's own interpreter, which holds the working memory.
    """

    path: Path
    threads: int
    batch: int
    image_shape: tuple[int, ...]
    input_code: Quantisation | None
    output_code: Quantisation | None
    runtime: Any = field(repr=False, compare=False)

    @classmethod
    def open(cls, path: Path, threads: int = 1, batch: int = 64) -> "Interpreter":
        """Open the file at `path`.

        Raises:
            ValueError: `threads` or `batch` is not positive.
            LiteRTFileError: the file is no LiteRT model of images, or not one of float32, int8 or uint8.
        """
        from ai_edge_litert.interpreter import Interpreter as Runtime

        if threads < 1 or batch < 1:
            raise ValueError(f"threads = {threads}, batch = {batch}: choose 1 or more")
        with without_noise():
            try:
                runtime = Runtime(model_path=str(path), num_threads=threads)
                runtime.allocate_tensors()
            except Exception as error:  # LiteRT raises various errors
                raise LiteRTFileError(f"{path}: LiteRT cannot open it: {first_line(error)}") from error
        source, sink = runtime.get_input_details(), runtime.get_output_details()
        if len(source) != 1 or len(sink) != 1 or len(source[0]["shape"]) != 4 or len(sink[0]["shape"]) != 2:
            shapes = [[tuple(map(int, each["shape"])) for each in details] for details in (source, sink)]
            raise LiteRTFileError(
                f"{path}: it takes {shapes[0]} and returns {shapes[1]}; wanted: one batch of images, "
                "(n, height, width, channels), to one row of logits an image"
            )
        source, sink = source[0], sink[0]
        return cls(
            path=path,
            threads=threads,
            batch=batch,
            image_shape=tuple(int(side) for side in source["shape"][1:]),
            input_code=code_of(source),
            output_code=code_of(sink),
            runtime=runtime,
        )

    def logits(self, images: Images) -> Logits:
        """Return the logits of `images`, shape (n, classes) float32.

        Args:
            images: shape (n, height, width, channels), in [0, 1].

        Raises:
            ValueError: `images` have another shape, are not floats, or leave [0, 1].
        """
        checked = unit_images(images, self.image_shape)
        parts = []
        for start in range(0, len(checked), self.batch):
            self.load(checked[start : start + self.batch])
            self.invoke()
            parts.append(self.read())
        return np.concatenate(parts)

    def load(self, images: Images) -> None:
        """Set the input to `images` (n, height, width, channels), quantised if it is int8 or uint8."""
        source = self.runtime.get_input_details()[0]
        if tuple(source["shape"]) != images.shape:
            self.runtime.resize_tensor_input(source["index"], images.shape)
            self.runtime.allocate_tensors()
        codes = images if self.input_code is None else self.input_code.quantise(images)
        self.runtime.set_tensor(source["index"], codes)

    def invoke(self) -> None:
        """Run the loaded batch, the step that is timed."""
        self.runtime.invoke()

    def read(self) -> Logits:
        """Return the logits of the last batch, (n, classes) float32."""
        codes = self.runtime.get_tensor(self.runtime.get_output_details()[0]["index"])
        logits: Logits = codes if self.output_code is None else self.output_code.dequantise(codes)
        return logits


def code_of(details: dict[str, Any]) -> Quantisation | None:
    """Return the quantisation in LiteRT's `details` of a tensor; None for float32.

    Raises:
        LiteRTFileError: the tensor is none of float32, int8 and uint8.
    """
    if details["dtype"] is np.float32:
        return None
    scale, zero_point = details["quantization"]
    kind = np.dtype(details["dtype"]).name
    if kind not in ("int8", "uint8") or not scale > 0:
        raise LiteRTFileError(
            f"tensor {details['name']!r} is {kind}: only float32 and quantised int8 and uint8 are read"
        )
    return Quantisation(float(scale), int(zero_point), kind)


def unit_images(images: NDArray[np.floating], shape: tuple[int, ...]) -> Images:
    """Return `images` as float32, after checking that they are (n, *shape), n >= 1, and within [0, 1].

    Raises:
        ValueError: they are not; stored uint8 images have to be divided by 255 first.
    """
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"images are {images.dtype}: give floats in [0, 1], such as images / 255")
    if images.shape[1:] != shape or len(images) == 0:
        raise ValueError(f"images have shape {images.shape}: give (n, {', '.join(map(str, shape))}), n >= 1")
    # Written so that NaN fails too.
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(f"images run from {images.min()} to {images.max()}: give images in [0, 1]")
    return images.astype(np.float32, copy=False)
