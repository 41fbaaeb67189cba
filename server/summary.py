"""A study in one line."""

from fedrobust.deployment.keys import site_names
from fedrobust.study import Study


def summary_of(study: Study, batchnorm: str) -> str:
    """Return the study in one line: data, clients, model, malicious clients.

    Args:
        study: its data, model and settings.
        batchnorm: what is said of the source of BatchNorm statistics; may be empty.
    """
    settings, dataset, malicious = study.experiment, study.dataset, study.schedule.malicious
    attacked = f"; {len(malicious)} malicious: {settings.poisoning.attack}" if malicious else ""
    sites = site_names()
    if sites is None:
        where = (
            f"{len(dataset.train.labels)} images over {settings.federation.clients} clients "
            f"({settings.data.partition}; {study.partition.unevenness})"
        )
    else:
        where = f"{len(sites)} sites with images of their own ({', '.join(sites.values())}), measured on this"
    return (
        f"{dataset.name}: {where}, "
        f"{settings.model.name} from {settings.model.weights} weights{batchnorm}{attacked}"
    )
