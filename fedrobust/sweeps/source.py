"""The sweep file and options of a sweep, kept in its folder to resume it."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from fedrobust.config.shipped import study_path
from fedrobust.config.study_file import base_of
from fedrobust.runs.folder import RunFolder
from fedrobust.sweeps.results import SweepError
from fedrobust.sweeps.sweep import Sweep

FILE = "sweep.json"
STUDY = "sweep.toml"


@dataclass(frozen=True)
class SweepSource:
    """A sweep file's text and the options of the command line.

    Attributes:
        text: of the sweep file.
        name: of the sweep.
        base: folder for relative paths.
        overrides: such as ``"seed=[0, 1, 2]"``.
        only: such as ``"seed=0"``: the cells to run.
        data_root: folder that is searched first for data.
    """

    text: str
    name: str
    base: str
    overrides: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    data_root: str = ""

    @classmethod
    def of(
        cls, path: str | Path, sweep: Sweep, overrides: Iterable[str], only: Iterable[str], data_root: str
    ) -> "SweepSource":
        """Return the source of `sweep`, whose file was read before."""
        path = study_path(path)
        return cls(
            path.read_text(encoding="utf-8-sig"),
            sweep.name,
            base_of(path),
            tuple(overrides),
            tuple(only),
            str(Path(data_root).expanduser().resolve()) if data_root else "",
        )

    @classmethod
    def read(cls, folder: str | Path) -> "SweepSource":
        """Read the source of the sweep in `folder`.

        Raises:
            SweepError: there is none, or it cannot be read.
        """
        place = Path(folder).expanduser()
        try:
            values = json.loads((place / FILE).read_text(encoding="utf-8"))
            text = (place / STUDY).read_text(encoding="utf-8")
            overrides, only = (tuple(map(str, values[name])) for name in ("overrides", "only"))
            name, base, root = (str(values[name]) for name in ("name", "base", "data_root"))
            return cls(text, name, base, overrides, only, root)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SweepError(
                f"{folder}: no sweep to go on with ({error}); a sweep is started with: fedrobust bench SWEEP.toml"
            ) from error

    def write(self, folder: Path) -> None:
        """Write the source into the sweep's folder."""
        run_folder = RunFolder(folder)
        run_folder.write_text(STUDY, self.text)
        run_folder.write_json(FILE, {name: value for name, value in asdict(self).items() if name != "text"})

    def sweep(self, folder: Path) -> Sweep:
        """Return the whole sweep.

        Raises:
            ConfigError: a cell is no valid study.
        """
        return Sweep.load(
            folder / STUDY, (*self.overrides, f'name="{self.name}"'), self.data_root, base=self.base
        )
