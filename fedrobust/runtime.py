"""TensorFlow as this project runs it: quiet, on Keras' TensorFlow backend, one thread an operation."""

import importlib
import os
import sys
import tempfile
from types import ModuleType


class RuntimeNotice(UserWarning):
    """TensorFlow was already running with other threads than asked for."""


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
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what matters is raised in Python too
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    tensorflow = _import_quietly("tensorflow")
    threading = tensorflow.config.threading
    try:
        threading.set_intra_op_parallelism_threads(1)
        threading.set_inter_op_parallelism_threads(max(2, workers))
    except RuntimeError:
        if threading.get_intra_op_parallelism_threads() != 1:
            import warnings

            warnings.warn(
                "TensorFlow was already running with "
                f"{threading.get_intra_op_parallelism_threads() or 'all'} threads an operation: results may differ "
                "in their last bits from those of `fedrobust run`; call fedrobust before other TensorFlow code",
                RuntimeNotice,
                stacklevel=2,
            )
    return tensorflow


def _import_quietly(name: str) -> ModuleType:
    """Import `name` with the messages that its C++ side writes before logging is set up kept back.

    They are written straight to file descriptor 2 and no setting stops them; an import that fails shows them.
    """
    if name in sys.modules:
        return sys.modules[name]
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as spool:
        os.dup2(spool.fileno(), 2)
        try:
            module = importlib.import_module(name)
            # the first operation makes the device, which has its own say
            module.config.list_physical_devices()
        except BaseException:
            os.dup2(kept, 2)
            spool.seek(0)
            sys.stderr.write(spool.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    return module
