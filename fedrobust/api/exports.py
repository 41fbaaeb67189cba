"""Exports of trained models of any origin as files for devices.

TensorFlow is imported inside functions, so that settings are checked without it.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust.api.model_request import (
    check_epsilon,
    check_named,
    data_of,
    interfaces_of,
    name_of,
    progress_teller,
    request_of,
    run_of,
    usual_epsilon,
    workers_map,
    working,
    write_json,
)
from fedrobust.checks import check_reach
from fedrobust.config import ConfigError
from fedrobust.cores import cores
from fedrobust.edge.errors import ExportError
from fedrobust.edge.export import file_name
from fedrobust.edge.formats import FORMATS, check_installed
from fedrobust.evasion import Threat
from fedrobust.report.export import write as write_page
from fedrobust.runs.codec import to_json
from fedrobust.runs.environment import environment
from fedrobust.runs.events import Listener
from fedrobust.runs.request import BESIDE
from fedrobust.runs.run import Run
from fedrobust.runtime import start_tensorflow

if TYPE_CHECKING:
    import keras

    from fedrobust.models.interfaces import Texts

NO_DETECTOR = (
    "the files hold no detector: they answer every image, also those on which the model would abstain ({})"
)
"""Note on the files of a run with a detector."""

GLOBAL = "model.keras"
"""A run's file of its global model."""

ATTACKED = 200
"""Test images on which the file to take is attacked, if the user names no number."""


def export_model(
    model: "str | Path | keras.Model",
    data: str = "",
    formats: Iterable[str] = ("float32", "int8"),
    *listeners: Listener,
    epsilon: float | str = "",
    norm: str = "linf",
    effort: str = "quick",
    images: int = ATTACKED,
    attack: bool = True,
    seed: int = 0,
    input: "Texts" = "",
    labels: "Texts" = "",
    head: "Texts" = "",
    data_root: str | Path = "",
    out: str | Path = "",
    force: bool = False,
) -> dict[str, Any]:
    """Export a model as files for devices, and return their figures, which are also written to ``export.json``.

    Beside the files are ``labels.txt``, ``classify.py`` (needs ai-edge-litert, NumPy, Pillow) and ``export.html``.
    Where int8 changes more than 2 % of the model's answers, the result has an ``alarm`` for that file, and "dynamic" or
    "float16" is written, too. One file is ``taken``: it is attacked as a file, in four ways.

    Args:
        model: a run folder (its global model), a ``.keras`` file such as a run's ``student.keras``, or a Keras model.
        data: a MedMNIST name, "phantom", or an .npz file; of a run folder and of files in one, the run's own if empty.
            Its training images give the ranges of int8 activations, its test images the figures.
        formats: "float32", "float16", "dynamic", "int8", "int16x8", "onnx".
        listeners: called with every event.
        epsilon: of the attacks; the usual one of the norm if empty: "2/255" in linf, 0.5 in l2.
        norm: "linf" or "l2".
        effort: "quick", "standard" or "full": steps of PGD.
        images: number of test images that are attacked, stratified by class; 0 for all.
        attack: False: no file is attacked.
        seed: of all random numbers.
        input: the images that a foreign model takes; see `audit_model`. Files take images in [0, 1] always.
        labels: the data's label of each of its outputs; see `audit_model`. Files have the data's order.
        head: name or number of the output, of a model with several.
        data_root: folder that is searched first for data.
        out: folder of the files; ``runs/NAME-export`` if empty, with a number if that has another export.
        force: replace the export of another request in `out`.

    Returns:
        `model`, `data`, `accuracy`, `files` (each with `format`, `file`, `bytes`, `accuracy`, `agreement`, `changed`,
        `alarm` where it changes too many answers, `taken`, `latency_ms`, `peak-bytes`, `metrics`), `robustness` of the
        file to take, and `folder`.

    Raises:
        ModelFileError, DataError, ConfigError, ThreatError: an argument cannot be used.
        ExportError: the model cannot be written in a format.
        MisreadModelError: another pixel range or class order gives significantly more correct predictions.
        OtherResultError: `out` has another export.

    Example:
        >>> done = fedrobust.export_model("runs/breast/student.keras", formats=["int8"])  # doctest: +SKIP
        >>> [file["file"] for file in done["files"] if file["taken"]]  # doctest: +SKIP
        ['student.int8.tflite']
    """
    formats = checked(formats)
    epsilon = usual_epsilon(norm) if epsilon == "" else epsilon
    check_epsilon(epsilon, norm)
    run = run_beside(model)
    if run is None:
        check_named(model, data, out)
    interfaces = interfaces_of(input, labels, head)
    start_tensorflow(cores())
    from fedrobust.audit.exports import export_files
    from fedrobust.audit.plan import Plan

    threat = Threat(norm=norm)  # type: ignore[arg-type]
    plan = Plan(epsilon=epsilon, threat=threat, effort=effort, seed=seed)  # type: ignore[arg-type]
    dataset = data_of(model if run is None else run.path, data, data_root)
    check_reach([epsilon], norm, dataset.image_shape)
    asked = {"formats": formats, "epsilon": str(epsilon), "effort": effort, "attack": attack}
    request = request_of(model, dataset, threat, "test", images, seed, "", interfaces, **asked)
    stem = "student" if isinstance(model, str | Path) and Path(model).name == "student.keras" else "model"
    writes = (*(file_name(stem, form) for form in formats), *BESIDE)
    with working(request, out, f"{export_name(model)}-export", force, listeners, writes) as (folder, pool):
        found = export_files(
            model,
            dataset,
            folder,
            formats,
            plan if attack else None,
            stem=stem,
            images=images,
            seed=seed,
            defence=defence_inside(model, run),
            interfaces=interfaces,
            map=workers_map(pool),
            report=progress_teller(),
            environment=environment(cores()),
        )
        if run is not None and is_model_of_run(model, GLOBAL) and run.experiment.model.detector != "none":
            found = replace(found, notes=(*found.notes, NO_DETECTOR.format(run.experiment.model.detector)))
        content = to_json(found)
        write_json(folder / "export.json", content)
        write_page(folder)
    return {**content, "folder": str(folder)}


def checked(formats: Iterable[str]) -> tuple[str, ...]:
    """Return the names of formats, each once.

    Raises:
        ConfigError: none is named, one is unknown, or an extra is missing.
    """
    named = tuple(dict.fromkeys((formats,) if isinstance(formats, str) else formats))
    unknown = [name for name in named if name not in FORMATS]
    if unknown or not named:
        raise ConfigError(f"formats = {', '.join(unknown) or 'none'}; allowed: {', '.join(FORMATS)}")
    try:
        check_installed(named)
    except ExportError as error:
        raise ConfigError(f"formats: {error}") from error
    return named


def run_beside(model: Any) -> Run | None:
    """Return the run of a run folder, or of a model file in one; else None."""
    found = run_of(model)
    if found is None and isinstance(model, str | Path) and Path(model).expanduser().is_file():
        return run_of(Path(model).expanduser().parent)
    return found


def is_model_of_run(model: str | Path, *names: str) -> bool:
    """Return whether `model` is a run's folder, which stands for its global model, or a file of one of the `names`."""
    return Path(model).expanduser().is_dir() or Path(model).name in names


def defence_inside(model: Any, run: Run | None) -> str:
    """Return the spec of the prediction-time defence inside a run's global model or student.

    It is empty where there is none, and for other models, of which it is not known, such as the undefended control.
    """
    if run is None or not is_model_of_run(model, GLOBAL, "student.keras"):
        return ""
    return run.experiment.model.defended_by


def export_name(model: Any) -> str:
    """Return the name of a model for its folder: of a file in a run the run's and its own."""
    run = run_beside(model)
    if run is None or run_of(model) is not None:
        return name_of(model, "")
    return f"{name_of(run.path, '')}-{name_of(model, '').removesuffix('.keras')}"
