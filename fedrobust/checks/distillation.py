"""Checks of the distillation: the method fits the networks, the teacher's training, and the transfer images."""

from collections.abc import Callable, Iterator
from typing import Any

from fedrobust.config.sections import Distillation, Federation, Model, Poisoning, Training
from fedrobust.data.transfer_set import TransferSet
from fedrobust.training.distillation_methods.contract import trait
from fedrobust.training.losses.cross_entropy import CrossEntropy
from fedrobust.training.losses.tempered_cross_entropy import TemperedCrossEntropy
from fedrobust.training.schedule import learning_rates

FAINT = 0.1
"""Share of the first learning rate below which a round hardly changes a client's model."""

MOST_EXCHANGING = 100
"""Most clients whose models are kept in memory at once."""


def method_fits(
    distillation: Distillation, model: Model, training: Training, method: Any, loss: Any, native: int
) -> Iterator[str]:
    """The method fits the student's network and the teacher's training.

    Args:
        distillation: settings of the student.
        model: settings of the teacher.
        training: of the teacher; names the loss.
        method: of the study.
        loss: of the teacher.
        native: side of the stored images.
    """
    if not distillation.enabled:
        return
    key = f'distillation.method = "{distillation.method}"'
    if trait(method, "same_network"):
        if distillation.student != model.name:
            yield (
                f'{key} with distillation.student = "{distillation.student}": the student has the teacher\'s network; '
                f'set distillation.student = "{model.name}"'
            )
        if (distillation.image_size or native) != (model.image_size or native):
            yield (
                f"{key} with distillation.image-size = {distillation.image_size}: the student sees the teacher's "
                f"images; set distillation.image-size = {model.image_size}"
            )
    wanted = TemperedCrossEntropy(temperature=distillation.temperature)
    if trait(method, "teacher_softened") and loss != wanted:
        yield (
            f'{key} with training.loss = "{training.loss}": the teacher is trained at the student\'s temperature; set '
            f'training.loss = "tempered-cross-entropy(temperature={distillation.temperature})"'
        )


def teacher_fits(
    distillation: Distillation, poisoning: Poisoning, training: Training, attack: Any, algorithm: Any
) -> Iterator[str]:
    """Clients that teach behave as in a round.

    Args:
        distillation: settings of the student.
        poisoning: names the attack.
        training: names the federated algorithm.
        attack: of the study; it is false if there is none.
        algorithm: of the study.
    """
    key = f'distillation.teacher = "{distillation.teacher}"'
    if not distillation.enabled or distillation.teacher == "global-model":
        return
    attacked = f'poisoning.attack = "{poisoning.attack}"'
    if distillation.teacher in ("local-models", "class-logits"):
        if attack:
            yield (
                f'{key} with {attacked}: models that are trained alone are those of honest clients; choose "clients", '
                'or poisoning.attack = "none"'
            )
        return
    if attack and attack.colludes:
        yield (
            f"{key} with {attacked}: colluding clients are simulated in the aggregation, and the teacher is none; "
            'choose another attack, or distillation.teacher = "global-model"'
        )
    if any(hasattr(algorithm, trait) for trait in ("broadcasts", "personal", "normalises")):
        yield (
            f'{key} with training.algorithm = "{training.algorithm}": its clients train with more than the global '
            "weights, or do not send the model that they trained; choose another algorithm, such as fedavg or fedprox, "
            'or distillation.teacher = "global-model"'
        )


def faint_teachers(distillation: Distillation, training: Training, rounds: int) -> Iterator[str]:
    """Yield a sentence if clients that teach would train at almost no learning rate: they teach what they are sent.

    Args:
        distillation: settings of the student.
        training: of the clients.
        rounds: of the study.

    Example:
        >>> training = Training(schedule="linear")
        >>> told = [len(list(faint_teachers(Distillation(teacher="clients"), training, n))) for n in (1, 5, 6)]
        >>> told, list(faint_teachers(Distillation(teacher="clients"), Training(), 6))
        ([0, 0, 1], [])
    """
    if not distillation.enabled or distillation.teacher != "clients":
        return
    share = learning_rates(1.0, training.schedule, 100, rounds, rounds, training.warmup).mean()
    if share < FAINT:
        yield (
            f'distillation.teacher = "clients" with training.schedule = "{training.schedule}": clients that teach '
            f"train once more at the rate of the selected round, which in round {rounds} of {rounds} is "
            f"{100 * share:.2g} % of training.learning-rate: their models are then nearly the global one, "
            'and the student learns what distillation.teacher = "global-model" teaches; for teachers that differ set '
            'training.schedule = "constant"'
        )


def classes_teach(
    distillation: Distillation, federation: Federation, training: Training, method: Any, loss: Any
) -> Iterator[str]:
    """Models that learn from each other's answers to each class have a loss of soft labels, and are not too many.

    Args:
        distillation: settings of the student.
        federation: number of clients.
        training: names the loss.
        method: of the study.
        loss: of the clients.
    """
    if not distillation.enabled or distillation.teacher != "class-logits":
        return
    key = 'distillation.teacher = "class-logits"'
    if not isinstance(loss, CrossEntropy):
        yield (
            f'{key} with training.loss = "{training.loss}": labels and answers of others are mixed, which is what '
            'cross-entropy can do; set training.loss = "cross-entropy"'
        )
    for setting, value, usual in (
        ("recipe-from", training.recipe_from, 1),
        ("recipe-clients", training.recipe_clients, 1.0),
        ("unfreeze", list(training.unfreeze), []),
    ):
        if value != usual:
            yield (
                f"{key} with training.{setting} = {value}: all clients train with one recipe and the same layers in "
                "all rounds; take it out, or choose another teacher"
            )
    if trait(method, "asks_teacher"):
        yield (
            f'{key} with distillation.method = "{distillation.method}": it asks the teacher about perturbed images, '
            'and mean answers are no model; choose "soft-labels" or "rslad"'
        )
    if not 2 <= federation.clients <= MOST_EXCHANGING:
        yield (
            f"{key} with federation.clients = {federation.clients}: clients learn from others, and the models of all "
            f"are kept; choose from 2 to {MOST_EXCHANGING} clients"
        )


def transfer_labels(
    distillation: Distillation,
    method: Any,
    label_names: tuple[str, ...],
    multilabel: bool,
    public: Callable[[], TransferSet | None],
) -> Iterator[str]:
    """The transfer images have the labels that the method needs.

    Args:
        distillation: settings of the student.
        method: of the study.
        label_names: of the study's images.
        multilabel: whether these have several labels each.
        public: returns the public transfer set; None: the validation split.
    """
    by_classes = distillation.teacher == "class-logits"
    if not (distillation.enabled and (by_classes or trait(method, "needs_labels"))):
        return
    key, other_choice = (
        f'distillation.method = "{distillation.method}"',
        'a method without labels, such as "rslad"',
    )
    if by_classes:
        key, other_choice = 'distillation.teacher = "class-logits"', 'another teacher, such as "local-models"'
    if distillation.mixup:
        yield (
            f"{key} with distillation.mixup = {distillation.mixup}: it needs one label an image, mixed images have "
            f"two; set it to 0, or choose {other_choice}"
        )
    other = public() if distillation.public else None
    if other is not None and not other.has_labels_of(label_names, multilabel):
        what = "no labels" if other.labels is None else "labels of other classes"
        yield (
            f'{key} with distillation.public = "{distillation.public}": it needs the labels of the transfer images, '
            f"these have {what}; choose {other_choice}"
        )
