"""The companion models of an audit: control, teacher, exported file."""

from pathlib import Path

from fedrobust.audit.exported import ExportedTarget
from fedrobust.audit.opened import check_opened, file_digest, is_of_run, model_path
from fedrobust.config import ConfigError
from fedrobust.data.dataset import Dataset
from fedrobust.errors import first_line
from fedrobust.evasion import TargetModel
from fedrobust.evasion.models.model_file import open_model
from fedrobust.models.interfaces import NONE_DECLARED, Interfaces
from fedrobust.paths import expanded


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
    if not is_of_run(file):
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
    check_opened(exported, dataset, "test", interface, "edge")
    return f"{file.name} {file_digest(file)[:8]}", exported
