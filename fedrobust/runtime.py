"""TensorFlow as this project runs it: quiet, quick to start, on Keras' backend for it, one thread an operation."""

import gc
import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import ModuleType

from fedrobust.deferred import DeferredModule, deferred, execute_within, keras_left_out
from fedrobust.streams import error_stream_held, open_standard_streams

SOUGHT_BY_KERAS = ("sklearn", "pandas", "scipy")
"""Packages that Keras imports if it finds them, to take their objects. They make up two fifths of the time it takes to
import TensorFlow, and fedrobust hands Keras none of their objects."""

API = "tensorflow._api.v2"
"""The package whose modules are the names of ``tensorflow``."""

EXECUTED = ("distribute",)
"""Modules of the API that cannot wait: code below `tensorflow.distribute` takes that name once it is imported."""

_own_process = False


class RuntimeNotice(UserWarning):
    """TensorFlow was already running with other threads than asked for."""


def claim_process() -> None:
    """Say that this process runs fedrobust and nothing else, so that Keras may be imported without extras.

    The command line does; a notebook's process is its user's, who may want Keras' scikit-learn wrappers.
    """
    global _own_process
    _own_process = True
    open_standard_streams()


def is_own_process() -> bool:
    """Return whether this process was claimed, see `claim_process`."""
    return _own_process


def start_tensorflow(workers: int = 1) -> ModuleType:
    """Import TensorFlow and fix its threads; return the module.

    Every operation runs on one thread, and `workers` operations may run at once. Parallelism comes from training
    several clients at a time, which is faster than splitting small operations and keeps results independent of the
    number of workers: how an operation is split over threads changes its rounding.

    Args:
        workers: how many clients train at a time.

    Warns:
        RuntimeNotice: TensorFlow was initialised before with another number of threads an operation, so that the
            bits of a result may differ from those of a run of its own.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what matters is raised in Python, too
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    tensorflow = sys.modules.get("tensorflow") or _import_tensorflow()
    threading = tensorflow.config.threading
    try:
        threading.set_intra_op_parallelism_threads(1)
        threading.set_inter_op_parallelism_threads(max(2, workers))
    except RuntimeError:
        threads = threading.get_intra_op_parallelism_threads()
        if threads != 1:
            warnings.warn(
                f"TensorFlow was already running with {threads or 'all'} threads an operation: results may differ in "
                "their last bits from those of `fedrobust run`; call fedrobust before other TensorFlow code",
                RuntimeNotice,
                stacklevel=2,
            )
    return tensorflow


def _import_tensorflow() -> ModuleType:
    collecting = gc.isenabled()
    gc.disable()
    try:
        with _quiet(), ExitStack() as left_out:
            if _own_process:
                execute_within("keras", lambda: _without(SOUGHT_BY_KERAS))
                left_out.enter_context(keras_left_out())
                left_out.enter_context(deferred(API, EXECUTED, within=_quiet))
            tensorflow = importlib.import_module("tensorflow")
            _keep_names(tensorflow)
            # Finding the devices has its own say on the error stream.
            tensorflow.config.list_physical_devices()
    finally:
        if collecting:
            gc.enable()
    # A million objects that live as long as the process: the collector need not look at them again.
    gc.freeze()
    return tensorflow


def _keep_names(tensorflow: ModuleType) -> None:
    """Keep deferred parts of the API under their names.

    Some share one with a package of TensorFlow's sources (``tensorflow.lite``, which is empty): importing that package
    binds the name to it. So it is imported now, and the name given back.
    """
    sources = Path(str(tensorflow.__file__)).parent
    for name, part in list(vars(tensorflow).items()):
        if isinstance(part, DeferredModule) and (sources / name).is_dir():
            importlib.import_module(f"tensorflow.{name}")
            setattr(tensorflow, name, part)


def _quiet() -> AbstractContextManager[None]:
    """Return a block that hides what TensorFlow's C++ side writes to descriptor 2 before its logging is set up."""
    return error_stream_held(lambda written: "")


@contextmanager
def _without(packages: tuple[str, ...]) -> Iterator[None]:
    """Have the import of `packages` fail within the block, unless they are imported already."""
    hidden = [name for name in packages if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
