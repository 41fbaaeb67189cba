"""Check of the surrogates that a study's transfer attacks name, before its first round."""

from fedrobust.audit.companions import with_surrogate
from fedrobust.errors import ConfigError, FedrobustError
from fedrobust.study import Study

AS_THE_DATA = (
    "--labels and --input are options of fedrobust attack; a study reads a surrogate as the data are: images in "
    "[0, 1], classes in the order of their labels"
)


def check_surrogates(study: Study) -> None:
    """Open the file of every surrogate, and compare its images and classes with those of the study's data.

    The loss of a surrogate with other classes, or in another order, is another loss: its adversaries fail, and the
    model under attack looks robust.

    Raises:
        ConfigError: a surrogate cannot be opened, does not fit the data, or has its classes in another order.
    """
    for spec in study.experiment.evaluation.attacks:
        try:
            with_surrogate(study.evasion(spec), study.dataset, study.threat.space)
        except FedrobustError as error:
            raise ConfigError(f'evaluation.attacks = "{spec}": {error}. {AS_THE_DATA}') from error
