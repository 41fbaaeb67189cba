"""The teachers of the student: the global model, the clients' models, models trained alone, or mean answers."""

from collections.abc import Iterable, Iterator

from fedrobust.config.resolve_training import augmentations_of, loss_named, optimizer_of
from fedrobust.engines.exchange import exchange
from fedrobust.lazy import tf
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights
from fedrobust.runs.events import StageStarted, emit
from fedrobust.training.class_logits import OnSoftened, SoftenedUpdate
from fedrobust.training.local_update import LocalUpdate
from server.errors import RoundError
from server.parts import ServerParts
from server.stages.class_logits import ClassLogits
from server.stages.distillation import DistillationPlan, Student
from server.stages.evaluation import Evaluator


def teachers_of(
    parts: ServerParts, classifier: Classifier, weights: Weights, trained: Weights, round: int
) -> Iterable[Weights]:
    """Return the models whose mean logits teach the student, as ``distillation.teacher`` says.

    Clients train without the study's prediction-time defence: they are sent weights without it, and theirs are moved as
    those of the global model are.

    Args:
        parts: of the study's server.
        classifier: of the global model, behind its defence.
        weights: of the selected global model.
        trained: the same as they were trained, before they were moved behind the defence.
        round: of the selected model.

    Raises:
        RoundError: too few clients replied with their models.
    """
    wanted = parts.study.experiment.distillation.teacher
    if wanted == "clients":
        emit(StageStarted("asking the clients for their models"))
        return tuple(parts.behind(classifier, model) for model in clients_models(parts, trained, round))
    if wanted == "local-models":
        emit(StageStarted(f"training a model at each of {parts.study.experiment.federation.clients} clients"))
        return (parts.behind(classifier, model) for model in local_models(parts))
    return (weights,)


def taught(
    parts: ServerParts,
    plan: DistillationPlan,
    evaluator: Evaluator,
    weights: Weights,
    trained: Weights,
    round: int,
) -> Student:
    """Return the student of the study's teachers; see `teachers_of` and `class_logits`.

    Args:
        parts: of the study's server.
        plan: of the distillation.
        evaluator: of the teachers' network.
        weights: of the selected global model.
        trained: the same, before they were moved behind the prediction-time defence.
        round: of the selected model.

    Raises:
        RoundError: too few clients replied with their models.
    """
    if plan.settings.teacher != "class-logits":
        return plan.distilled(evaluator, teachers_of(parts, evaluator.classifier, weights, trained, round))
    exchange_of = class_logits(parts)
    emit(StageStarted(f"training {exchange_of.clients} models that exchange their answers to each class"))
    table, _ = exchange_of()
    return plan.distilled_by_classes(table, exchange_of.clients, len(exchange_of.rounds))


def class_logits(parts: ServerParts) -> ClassLogits:
    """Return the exchange of answers to each class among all clients, which are simulated."""
    study, settings = parts.study, parts.study.experiment
    update = LocalUpdate(
        parts.classifier,
        study.recipe,
        optimizer_of(settings.training, settings.base),
        OnSoftened(loss_named(settings.training, settings.base)),
        settings.training.space,
        tf.TensorSpec([None, 2 * parts.classifier.classes], tf.float32),
        augmentations=augmentations_of(settings.training, settings.base),
        backbone_rate=settings.training.backbone_rate,
    )
    return ClassLogits(
        study.local_training,
        lambda table: SoftenedUpdate(update, table, settings.distillation.gamma),
        study.shard,
        parts.initial[1],
        settings.federation.clients,
        parts.taken_part,
        parts.recalibrated_locally,
        parts.undefended.clean_logits,
        study.changed_alone,
    )


def clients_models(parts: ServerParts, weights: Weights, round: int) -> tuple[Weights, ...]:
    """Return the models of the clients of the selected round, each after one local training from the global model.

    They are the ensemble of FedDF (Lin et al., 2020, arXiv:2006.07242, Algorithm 1). The clients of the selected
    round train once more, from its model and at its learning rate; malicious ones among them attack as in that round.
    Every reply is checked as in any round.

    Args:
        parts: of the study's server.
        weights: of the selected global model.
        round: of the selected model.

    Raises:
        RoundError: fewer than ``federation.min-replies`` of the clients replied with a valid model.
    """
    federation, settings = parts.federation, parts.study.experiment
    sampled = federation.sampling.sample(round)
    messages = federation.messages(round, weights, sampled)
    replies = exchange(parts.grid, messages, settings.engine.client_timeout)
    models, failed = federation.models(round, weights, sampled, replies)
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
