"""Which studies are refused where clients are real sites."""

from fedrobust.algorithms.contract import pairs_states
from fedrobust.config import Experiment
from fedrobust.config.resolve_training import algorithm_of
from fedrobust.deployment.folder_file import DeploymentError


def check_deployable(experiment: Experiment) -> None:
    """Refuse a study that is for simulations alone.

    Raises:
        DeploymentError: it attacks sites, changes their images or their presence, needs all images in one place, or
            does not survive the restart of a site's node.
    """
    poisoning, data, baselines = experiment.poisoning, experiment.data, experiment.evaluation.baselines
    if poisoning.attack != "none" and experiment.malicious:
        raise DeploymentError(
            f'poisoning.attack = "{poisoning.attack}": a deployment would attack real sites; set "none", and simulate '
            "attacks with fedrobust run"
        )
    if data.site_shifts:
        raise DeploymentError(
            f"data.site-shifts = {list(data.site_shifts)}: real sites have images of their own; take it out"
        )
    if experiment.federation.availability:
        raise DeploymentError(
            f"federation.availability = {list(experiment.federation.availability)}: it simulates sites that come and "
            "go; real ones do so by themselves; take it out"
        )
    if baselines:
        raise DeploymentError(
            f"evaluation.baselines = {list(baselines)}: they are trained where all images are in one place; take it out"
        )
    if pairs_states(algorithm_of(experiment.training, experiment.base)):
        raise DeploymentError(
            f'training.algorithm = "{experiment.training.algorithm}": the server\'s state has to match that of every '
            "site, which a site's node keeps in memory and loses when it restarts: from then on the model would be "
            'wrong; choose another, such as "fedavg", "fedprox" or "fednova"'
        )
