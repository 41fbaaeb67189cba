"""The centralised baseline of a study: all training images in one place, the same steps."""

from fedrobust.config.experiment import Experiment
from fedrobust.config.keys import default

FEDERATED = (
    "data.partition",
    "data.site-shifts",
    "distillation.gamma",
    "distillation.teacher",
    "evaluation.baselines",
    "federation.availability",
    "federation.participation",
    "federation.sampling",
    "federation.secure-aggregation",
    "federation.aggregator",
    "federation.pre-aggregators",
    "federation.postprocessors",
    "federation.server-optimizer",
    "federation.tolerate",
    "federation.tolerate-quantile",
    "federation.min-replies",
    "poisoning.attack",
    "poisoning.malicious",
    "poisoning.first-round",
    "poisoning.last-round",
    "poisoning.every",
    "poisoning.knowledge",
    "training.algorithm",
    "training.proximal",
)
"""Settings of partition, site shifts, comparison of clients, teachers, poisoning and aggregation: left out."""


def centralized(experiment: Experiment) -> Experiment:
    """Return `experiment` with one client that has all training images; settings of a federation are at their defaults.

    Rounds, epochs, batches, optimiser, schedule, augmentation and evaluation stay: with full participation the model
    sees as many images as the clients of the federated study do together, in batches that are drawn from all of them.

    Example:
        >>> study = Experiment.of(name="ten", federation__clients=10, federation__aggregator="median")
        >>> central = centralized(study)
        >>> central.name, central.federation.clients, central.federation.aggregator
        ('ten-central', 1, 'mean')
    """
    settings = {key.replace(".", "__").replace("-", "_"): default(Experiment, key) for key in FEDERATED}
    return experiment.changed((), **settings, name=f"{experiment.name}-central", federation__clients=1)
