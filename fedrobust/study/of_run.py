"""The study of a finished run, on the images that it ran on."""

from pathlib import Path

from fedrobust.errors import ConfigError
from fedrobust.runs.run import Run
from fedrobust.study.study import Study


def study_of_run(run: Run, data_root: str | Path = "", otherwise: str = "") -> Study:
    """Return the study of a run, whose images and labels are those that it ran on.

    Args:
        run: the run.
        data_root: folder that is searched first for its images.
        otherwise: what else the user can do about other images, for the error.

    Raises:
        ConfigError: its images or labels have changed since.
        DataError: they are not on this machine.
    """
    settings = {"data__root": str(data_root)} if data_root else {}
    study = Study.up_to_date(run.experiment.changed(**settings))
    ran_on, dataset = run.record.dataset, study.dataset
    # Runs of early versions recorded no digest.
    if ran_on is not None and ran_on.digest and ran_on.digest != dataset.digest:
        raise ConfigError(
            f"{run.path}: the run's data changed: {dataset.name} ({dataset.source}) has digest {dataset.digest[:12]}, "
            f"the run was on {ran_on.digest[:12]}. Put the run's images back, or run the study again{otherwise}"
        )
    return study
