"""The companion models of an audit: control, teacher, exported file, surrogate of an attack."""

from dataclasses import replace
from pathlib import Path

from fedrobust.audit.class_names import check_named_outputs
from fedrobust.audit.exported import ExportedTarget
from fedrobust.audit.opened import check_opened, check_run_opened, file_digest, model_path
from fedrobust.config import ConfigError
from fedrobust.data.dataset import Dataset
from fedrobust.edge.about import read_about
from fedrobust.errors import first_line
from fedrobust.evasion import TargetModel, attack_named
from fedrobust.evasion.attacks.transfer import Transfer
from fedrobust.evasion.contract import Attack
from fedrobust.evasion.models.bound import through_roundings
from fedrobust.evasion.models.model_file import open_model
from fedrobust.models.interfaces import NONE_DECLARED, Interfaces
from fedrobust.paths import expanded
from fedrobust.runs.of_file import is_of_run


def companion(
    path: str | Path,
    dataset: Dataset,
    space: str,
    base: Path | None = None,
    interfaces: Interfaces = NONE_DECLARED,
    what: str = "control",
) -> tuple[str, TargetModel] | None:
    """Return (name with digest, model) of a companion; None without a path.

    Raises:
        ModelFileError: it does not exist, or does not fit the data.
        MisreadModelError: another pixel range or class order fits significantly better.
    """
    if not str(path):
        return None
    file = model_path(path, base)
    interface = interfaces.of(what, dataset)
    opened = open_model(file, dataset.image_shape, dataset.classes, space, interface=interface)
    if is_of_run(file):
        check_run_opened(opened, file, dataset, "test", interfaces, what)
    else:
        check_opened(opened, dataset, "test", interface, what)
    return f"{file.name} {file_digest(file)[:8]}", opened.target


def edge_companion(
    path: str | Path, dataset: Dataset, interfaces: Interfaces = NONE_DECLARED
) -> tuple[str, TargetModel] | None:
    """Return (name, model) of an exported file; None without a path.

    Raises:
        ConfigError: its images or classes are not those of the data.
        MisreadModelError: another pixel range or class order fits significantly better.
    """
    if not str(path):
        return None
    file, interface = expanded(path), interfaces.of("edge", dataset)
    if not file.is_file():
        raise ConfigError(f"edge = {str(path)!r}: there is no such file")
    try:
        exported = ExportedTarget(file, interface)
    except ConfigError:
        raise
    except Exception as error:  # LiteRT raises various errors for unreadable files
        raise ConfigError(
            f"edge = {str(path)!r}: not a LiteRT file of images with input and output of float32, int8 or uint8: "
            f"{first_line(error)}"
        ) from error
    if exported.shape != dataset.image_shape or exported.classes != dataset.classes:
        raise ConfigError(
            f"edge = {str(path)!r}: it takes images of {exported.shape} and knows {exported.classes} classes; the data "
            f"have {dataset.image_shape} and {dataset.classes}"
        )
    check_named_outputs(read_about(file), dataset, interfaces, "edge")
    check_opened(exported, dataset, "test", interface, "edge")
    return f"{file.name} {file_digest(file)[:8]}", exported


def with_surrogate(
    spec: str | Attack, dataset: Dataset, space: str, interfaces: Interfaces = NONE_DECLARED
) -> tuple[str | Attack, str]:
    """Return an attack with its surrogate opened, and the surrogate's name with digest; of others the spec and "".

    A surrogate in a file is read as a companion is: as ``surrogate=...`` declares, else as the model.

    Raises:
        ModelFileError: the file does not exist, or does not fit the data.
        MisreadModelError: another pixel range or class order fits significantly better.
    """
    named = attack_named(spec)
    if not isinstance(named, Transfer) or not isinstance(named.surrogate, str) or named.surrogate == "query":
        return spec, ""
    found = companion(named.surrogate, dataset, space, interfaces=interfaces, what="surrogate")
    assert found is not None
    name, model = found
    return replace(named, surrogate=through_roundings(model)), f"from {name}"
