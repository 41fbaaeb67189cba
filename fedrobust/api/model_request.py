"""The common part of attacks and audits of any model: the checked request and its folder of results.

TensorFlow is imported inside functions, so that settings are checked without it.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust.atomic import atomic, cannot_write
from fedrobust.config import ConfigError
from fedrobust.config.model_parts import detector_of
from fedrobust.cores import cores
from fedrobust.data.dataset import Dataset
from fedrobust.data.load import load
from fedrobust.detectors import DETECTORS, Detector
from fedrobust.epsilon import epsilon_value
from fedrobust.evasion import Threat
from fedrobust.models.interfaces import Interfaces
from fedrobust.paths import absent, check_can_hold, expanded
from fedrobust.runs.events import AttackProgressed, Listener, listening, teller
from fedrobust.runs.request import folder_for
from fedrobust.runs.run import Run
from fedrobust.spec import build
from fedrobust.study.of_run import study_of_run

if TYPE_CHECKING:
    from fedrobust.models.interfaces import Texts

OTHER_DATA = "; or name the present ones with --data (in Python data=...), to use them nevertheless"
"""What else to do where a run's data changed."""


@contextmanager
def working(
    request: Mapping[str, Any],
    out: str | Path,
    name: str,
    force: bool,
    listeners: Sequence[Listener],
    writes: Sequence[str] = (),
) -> Iterator[tuple[Path, ThreadPoolExecutor]]:
    """Yield the folder of `request` and a thread pool, with `listeners` for the events of the block."""
    with (
        folder_for(request, out, Path("runs"), name, force, writes) as folder,
        listening(*listeners),
        ThreadPoolExecutor(cores()) as pool,
    ):
        yield folder, pool


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write plain data as indented JSON, atomically.

    Raises:
        DiskError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    with atomic(path) as draft:
        draft.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def workers_map(pool: Executor) -> Any:
    """Return the `map` of an executor, for attacks."""
    return lambda function, items: pool.map(function, items)


def progress_teller() -> Any:
    """Return a function that reports an attack's progress to the listeners, from any thread."""
    tell = teller()
    return lambda name, progress: tell(AttackProgressed(name, progress.done, progress.left))


def run_of(model: Any) -> Run | None:
    """Return the run if `model` is its folder, else None."""
    if isinstance(model, str | Path) and (Path(model).expanduser() / "experiment.toml").is_file():
        return Run.open(model)
    return None


def detector_for(
    model: Any, detector: str, rate: float, otherwise: str = "none", key: str = "rate"
) -> tuple[Detector | None, float, str, str]:
    """Return the detector of attacked images for a model.

    Args:
        model: of the caller.
        detector: asked for; empty: that of the run's study (`model.detector`); "none": there is none.
        rate: share of clean images on which the model may abstain; 0: that of the run's study, else 0.05.
        otherwise: the detector where none is asked for and the study has none.
        key: the name of `rate` in errors.

    Returns:
        The detector or None, the rate, the detector's spec, and who chose it, in words.

    Raises:
        ConfigError, SpecError: it cannot be used.
    """
    if not 0 <= rate < 1:
        raise ConfigError(
            f"{key} = {rate}: choose a number above 0, below 1, such as 0.05; 0: the run's, else 0.05"
        )
    run = run_of(model)
    base = run.experiment.model if run is not None else None
    rate = rate or (base.detector_rate if base else 0.05)
    if detector:
        named, chosen = detector, "asked for"
    elif run is not None and base is not None and base.detector != "none":
        return detector_of(base, run.experiment.base), rate, base.detector, "the run's own (model.detector)"
    else:
        named, chosen = otherwise, "the default, as the run has none" if base else "the default"
    return (None if named == "none" else build(DETECTORS, named)), rate, named, chosen


def usual_epsilon(norm: str) -> float | str:
    """Return the epsilon of a norm where the caller gives none.

    Example:
        >>> usual_epsilon("linf"), usual_epsilon("l2"), usual_epsilon("l0")
        ('2/255', 0.5, 1)
    """
    return {"l2": 0.5, "l0": 1}.get(norm, "2/255")


def check_epsilon(epsilon: float | str, norm: str) -> None:
    """Check an epsilon.

    Raises:
        ConfigError: it is not positive and finite, above 1 in linf, or not a whole number of pixels in l0.
    """
    kinds = {
        "linf": 'a number in (0, 1] or a fraction such as "8/255": pixels lie in [0, 1], 8 grey levels are 8/255',
        "l0": "a whole number of pixels, from 1 up",
    }
    allowed = kinds.get(norm, "a number above 0")
    refused = ConfigError(
        f"epsilon = {epsilon!r} in norm {norm}: allowed: {allowed}; give one for each --epsilon"
    )
    try:
        value = epsilon_value(epsilon)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise refused from error
    is_whole = norm != "l0" or value == int(value) if math.isfinite(value) else False
    if not (0 < value < math.inf and is_whole and (norm != "linf" or value <= 1)):
        raise refused


def check_named(model: Any, data: str, out: str | Path, attacks: tuple[str, ...] = ("",)) -> None:
    """Check everything that can be checked without TensorFlow.

    Raises:
        ModelFileError: see `check_there`.
        ConfigError: no data or attacks are named.
        PathError: `out` cannot be a folder.
    """
    if not data and run_of(model) is None:
        check_there(model)
        raise ConfigError("data: name the images, such as breastmnist or the path of an .npz file")
    if not attacks:
        raise ConfigError("attacks: name at least one, such as pgd; `fedrobust list attacks` has them all")
    if str(out):
        check_can_hold(expanded(out), "out")


def check_there(model: Any) -> None:
    """Check that a path of a model has one: it is a file, or a folder of a run.

    Raises:
        ModelFileError: there is nothing, or a folder of something else.

    Example:
        >>> check_there("/ect/model.keras")
        Traceback (most recent call last):
        fedrobust.models.keras_file.ModelFileError: /ect/model.keras: neither a run folder nor a model's file, such as \
model.keras: there is no folder /ect, did you mean "etc"?
    """
    if not isinstance(model, str | Path):
        return
    # Imports h5py, which other commands do without.
    from fedrobust.models.keras_file import ModelFileError, check_readable

    path = expanded(model)
    if not path.exists():
        raise ModelFileError(
            f"{model}: neither a run folder nor a model's file, such as model.keras: {absent(model)}"
        )
    if path.is_dir() and not any((path / name).exists() for name in ("experiment.toml", "model.keras")):
        check_readable(path)


def request_of(
    model: Any,
    dataset: Dataset,
    threat: Threat,
    split: str,
    images: int,
    seed: int,
    name: str,
    interfaces: Interfaces,
    **settings: Any,
) -> dict[str, Any]:
    """Return everything that determines the results of an attack or an audit, as plain data."""
    from fedrobust import __version__
    from fedrobust.audit.opened import model_digest

    return {
        "version": __version__,
        "model": model_digest(model, name),
        "data": dataset.digest,
        "split": split,
        "images": images,
        "threat": asdict(threat),
        "seed": seed,
        "told": interfaces.to_json(),
        **settings,
    }


def data_of(model: Any, data: str, data_root: str | Path) -> Dataset:
    """Return the data set `data`; if empty, that of the run folder.

    Raises:
        ModelFileError: see `check_there`.
        ConfigError: no data are named and there is no run folder, the run's data changed, or an image may have several
            findings.
    """
    run = run_of(model)
    if not data and run is None:
        check_there(model)
        raise ConfigError(
            'data = "": a model that is not in a run folder needs data: a MedMNIST name, phantom, or an .npz file '
            "(--data on the command line)"
        )
    own = None if data or run is None else study_of_run(run, data_root, OTHER_DATA)
    dataset = load(data, root=data_root) if own is None else own.dataset
    if dataset.multilabel:
        raise ConfigError(
            f'data = "{data or dataset.name}" is multi-label: audits, attacks and exports of files take data with one '
            "class an image; a study measures, attacks and exports findings (evaluation.attacked-finding, ...)"
        )
    return dataset


def interfaces_of(
    input: "Texts", labels: "Texts", head: "Texts", companions: Sequence[str] = ()
) -> "Interfaces":
    """Return the declared interfaces of the models, checked before any model is opened.

    Args:
        input: input formats.
        labels: class orders.
        head: output heads.
        companions: the models beside the model.

    Raises:
        ConfigError: one cannot be read, or belongs to a companion model that does not exist.
    """
    interfaces = Interfaces.parse(input, labels, head)
    strangers = {
        what for each in (interfaces.input, interfaces.labels, interfaces.head) for what in each if what
    } - set(companions)
    if strangers:
        known = f"the model, or of its {', '.join(companions)}" if companions else "the model alone"
        raise ConfigError(
            f"{', '.join(sorted(strangers))}: there is no such companion model here; declare the interface of {known}"
        )
    return interfaces


def name_of(model: Any, name: str) -> str:
    """Return the model's name for a folder of results."""
    from fedrobust.audit.opened import opened_name

    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name or opened_name(model)).strip("_") or "model"
