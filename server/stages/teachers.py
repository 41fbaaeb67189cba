"""The teachers of the student: the global model, the clients' models after a round, or models trained alone."""

from collections.abc import Iterable, Iterator

from fedrobust.engines.exchange import exchange
from fedrobust.models.layout import Weights
from fedrobust.runs.events import StageStarted, emit
from server.errors import RoundError
from server.parts import ServerParts


def teachers_of(parts: ServerParts, weights: Weights) -> Iterable[Weights]:
    """Return the models whose mean logits teach the student, as ``distillation.teacher`` says.

    Args:
        parts: of the study's server.
        weights: of the selected global model.

    Raises:
        RoundError: too few clients replied with their models.
    """
    wanted = parts.study.experiment.distillation.teacher
    if wanted == "clients":
        emit(StageStarted("asking the clients for their models"))
        return clients_models(parts, weights)
    if wanted == "local-models":
        emit(StageStarted(f"training a model at each of {parts.study.experiment.federation.clients} clients"))
        return local_models(parts)
    return (weights,)


def clients_models(parts: ServerParts, weights: Weights) -> tuple[Weights, ...]:
    """Return the models of the clients of the last round, each after one local training from the global model.

    They are the ensemble of FedDF (Lin et al., 2020, arXiv:2006.07242, Algorithm 1). The clients of the last round
    train once more, from the selected model; malicious ones among them attack as in that round. Every reply is checked
    as in any round.

    Args:
        parts: of the study's server.
        weights: of the selected global model.

    Raises:
        RoundError: fewer than ``federation.min-replies`` of the clients replied with a valid model.
    """
    federation, settings = parts.federation, parts.study.experiment
    number = settings.federation.rounds
    sampled = federation.sampling.sample(number)
    messages = federation.messages(number, weights, sampled)
    replies = exchange(parts.grid, messages, settings.engine.client_timeout)
    models, failed = federation.models(number, weights, sampled, replies)
    if len(models) < max(1.0, settings.federation.min_replies * len(sampled)):
        raise RoundError(
            f'distillation.teacher = "clients": {len(models)} of {len(sampled)} clients sent a model, '
            f"federation.min-replies = {settings.federation.min_replies}; {failed}"
        )
    recalibrate = parts.recalibrate
    return models if recalibrate is None else tuple(map(recalibrate, models))


def local_models(parts: ServerParts) -> Iterator[Weights]:
    """Yield a model of each client that was trained on its images alone, in as many rounds as it takes part in.

    Args:
        parts: of the study's server; clients are simulated.
    """
    for client in range(parts.study.experiment.federation.clients):
        yield parts.recalibrated_locally(client, parts.local_baseline(client))
