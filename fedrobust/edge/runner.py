"""Open an exported file of any format."""

from pathlib import Path

from fedrobust.edge.interpreter import Interpreter
from fedrobust.edge.onnx_file import OnnxInterpreter

Runner = Interpreter | OnnxInterpreter


def opened(path: Path, threads: int = 1) -> Runner:
    """Open an exported file with its runtime: ONNX Runtime for ``.onnx``, else LiteRT.

    Raises:
        LiteRTFileError: it cannot be opened.
    """
    if path.suffix == ".onnx":
        return OnnxInterpreter.open(path, threads)
    return Interpreter.open(path, threads)
