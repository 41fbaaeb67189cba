"""The studies shipped with the package, such as `fedrobust run breast`.

In a checkout they lie in `experiments/`; installed, in `fedrobust/_studies`.
"""

from pathlib import Path

INSTALLED = Path(__file__).resolve().parents[1] / "_studies"
HOME = INSTALLED if INSTALLED.is_dir() else INSTALLED.parents[1] / "experiments"


def shipped() -> dict[str, Path]:
    """Return the files of the shipped studies and sweeps by name, in alphabetical order.

    Example:
        >>> [name for name in shipped() if name.startswith("p")]
        ['pneumonia', 'poisoning']
    """
    return {path.stem: path for path in sorted(HOME.glob("*.toml"))}


def study_path(study: str | Path) -> Path:
    """Return the file of a study: `study` itself, or the shipped study of that name if there is no such file.

    Example:
        >>> study_path("breast").name, str(study_path("mine/breast.toml"))
        ('breast.toml', 'mine/breast.toml')
    """
    path = Path(study)
    return path if path.exists() else shipped().get(str(study), path)
