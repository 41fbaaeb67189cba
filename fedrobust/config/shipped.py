"""The studies shipped with the package, such as `fedrobust run breast`.

In a checkout they lie in `experiments/`; installed, in `fedrobust/_studies`.
"""

from pathlib import Path

from fedrobust.errors import ConfigError
from fedrobust.registry import did_you_mean, known_as

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
        >>> study_path("Breast").name, str(study_path("mine/breast.toml"))
        ('breast.toml', 'mine/breast.toml')
    """
    path = Path(study)
    known = None if path.exists() else known_as(str(study), shipped())
    return path if known is None else shipped()[known]


def shipped_study(name: str) -> tuple[str, Path]:
    """Return the name and the file of a shipped study, which is no sweep; case, and ``_`` for ``-``, are forgiven.

    Raises:
        ConfigError: there is none.

    Example:
        >>> shipped_study("BREAST")[0]
        'breast'
        >>> shipped_study("braest")
        Traceback (most recent call last):
        fedrobust.errors.ConfigError: 'braest' is no shipped study, did you mean "breast"? choose one of: breast, \
demo, derma, mednist, pneumonia, quickstart
    """
    studies = {each: path for each, path in shipped().items() if not _is_sweep(path)}
    known = known_as(name, studies)
    if known is None:
        raise ConfigError(
            f"{name[:80]!r} is no shipped study{did_you_mean(name, studies) or ';'} choose one of: "
            f"{', '.join(studies)}"
        )
    return known, studies[known]


def _is_sweep(path: Path) -> bool:
    return "fedrobust bench" in path.read_text(encoding="utf-8")
