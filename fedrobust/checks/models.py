"""Checks of networks, recipes and evasion attacks against their images; they start TensorFlow."""

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from fedrobust.aggregation import InfeasibleError
from fedrobust.aggregation.rules.feddf import FedDF
from fedrobust.aggregation.rules.fltrust import FLTrust
from fedrobust.algorithms.contract import keeps_statistics
from fedrobust.config.sections import Distillation, Model, Training
from fedrobust.data.dataset import DataError
from fedrobust.data.problem import Problem
from fedrobust.evasion import Attack as EvasionAttack
from fedrobust.evasion import Threat, attack_named
from fedrobust.models.architecture import Architecture, ModelError
from fedrobust.models.architectures import architecture_named
from fedrobust.models.classifier import Classifier
from fedrobust.models.keras_file import ModelFileError
from fedrobust.poisoning import Attack
from fedrobust.registry import UnknownNameError
from fedrobust.spec import SpecError
from fedrobust.training.recipes.recipe import Recipe, shares_statistics, two_batchnorms

_BLIND = (
    "normalises over the batch (BatchNorm), and would see of each image only what is left when its own mean is taken "
    "away"
)
_ALONE = f"{_BLIND}; choose 2 or more"


def networks(
    model: Model, distillation: Distillation, problem: Problem, found: Callable[[str], str] = str
) -> Iterator[str]:
    """Images are large enough for the network and the student, and the pretrained weights exist.

    Args:
        model: settings of the network.
        distillation: settings of the student.
        problem: of the data.
        found: from the name of a network to its name with the path of its file, if it is in one.
    """
    native = min(problem.image_shape[:2])
    network = yield from _architecture("model.name", model.name, found)
    if network is not None:
        yield from _large_enough("model.image-size", model.image_size, model.name, network)
        if model.weights == "imagenet" and not network.imagenet:
            yield f'model.weights = "imagenet": {model.name} has none; choose "random" or a file'
    if not distillation.enabled:
        return
    student = yield from _architecture("distillation.student", distillation.student, found)
    if student is not None:
        side = distillation.image_size or native
        yield from _large_enough("distillation.image-size", side, distillation.student, student)


def _architecture(
    key: str, name: str, found: Callable[[str], str]
) -> Generator[str, None, Architecture | None]:
    try:
        return architecture_named(found(name))
    except (DataError, UnknownNameError, SpecError, ModelError, ModelFileError) as error:
        yield f'{key} = "{name}": {error}'
    return None


def _large_enough(key: str, side: int, name: str, network: Architecture) -> Iterator[str]:
    if side < network.smallest:
        yield (
            f"{key} = {side}: {name} takes images from {network.smallest} pixels up; set {key} to "
            f"{network.smallest} or "
            "more (images are resized inside the model)"
        )


def normalised_alone(model: Model, training: Training, classifier: Callable[[], Classifier]) -> Iterator[str]:
    """No batch has a single image if the network has BatchNorm.

    In training BatchNorm would take each image's own mean and variance. Deep layers have one value a channel: less its
    own mean it is 0 whatever the image, and nothing is learnt. Batches of a client are of nearly equal size
    (`fedrobust.training.batches`), so that above 2 no client of two images or more has such a batch. Frozen BatchNorm
    normalises by its moving statistics.

    Args:
        model: settings of the network.
        training: of the clients.
        classifier: returns the network.
    """
    if training.batch_size == 1 and model.norm != "frozen" and classifier().layout.statistics:
        yield f"training.batch-size = 1: {model.name} {_ALONE}"


def student_normalised_alone(
    distillation: Distillation, images: Callable[[], int], student: Callable[[], Classifier]
) -> Iterator[str]:
    """No batch of the student has a single image if it has BatchNorm; see `normalised_alone`.

    Args:
        distillation: settings of the student.
        images: returns the number of transfer images.
        student: returns the student.
    """
    if not distillation.enabled:
        return
    single = distillation.copies == 0 and images() == 1
    if not (single or distillation.batch_size == 1) or not student().layout.statistics:
        return
    if distillation.batch_size == 1:
        yield f"distillation.batch-size = 1: {distillation.student} {_ALONE}"
    if single:
        yield (
            f"distillation.copies = 0 with a single transfer image: {distillation.student} {_BLIND}; set "
            "distillation.copies to 1 or more, or name more images in distillation.public"
        )


def server_normalised_alone(
    model: Model, rule: Any, name: str, classifier: Callable[[], Classifier]
) -> Iterator[str]:
    """No batch on which a rule trains the model has a single image if it has BatchNorm; see `normalised_alone`.

    Args:
        model: settings of the network.
        rule: of the study; `FedDF` and `FLTrust` train on images of the server.
        name: as the study writes it.
        classifier: returns the network.
    """
    if not isinstance(rule, FedDF | FLTrust) or model.norm == "frozen":
        return
    for setting in ("batch_size", "images"):
        if getattr(rule, setting, 0) == 1 and classifier().layout.statistics:
            yield f'federation.aggregator = "{name}": {setting} = 1: {model.name} {_ALONE}'


def rule_reads(rule: Any, name: str, classifier: Callable[[], Classifier]) -> Iterator[str]:
    """A rule that reads arrays of the model finds them among those that clients send.

    Args:
        rule: of the study.
        name: as the study writes it.
        classifier: returns the network.
    """
    if hasattr(rule, "fits_layout"):
        try:
            rule.fits_layout(classifier().layout)
        except InfeasibleError as error:
            yield f'federation.aggregator = "{name}": {error}'


def attack_reads(
    attack: Attack, name: str, training: Training, classifier: Callable[[], Classifier]
) -> Iterator[str]:
    """A poisoning attack that needs some of the trained weights finds them.

    Args:
        attack: of the study.
        name: as the study writes it.
        training: names the layers that are trained.
        classifier: returns the network.
    """
    if not any(hasattr(part, "fits_layout") for part in attack.parts):
        return
    try:
        attack.fits_layout(classifier().layout)
    except SpecError as error:
        yield (
            f'poisoning.attack = "{name}" with training.layers = "{training.layers}": {error}, such as "all", or '
            "choose another attack"
        )


def statistics_shared(
    model: Model, training: Training, recipe: Recipe, algorithm: Any, classifier: Callable[[], Classifier]
) -> Iterator[str]:
    """A recipe that shares BatchNorm statistics of adversarial images has statistics, and keeps them.

    Args:
        model: settings of the network.
        training: names the recipe and the federated algorithm.
        recipe: of the study.
        algorithm: of the study.
        classifier: returns the network.
    """
    if not shares_statistics(recipe):
        return
    if keeps_statistics(algorithm) and training.recipe_clients < 1:
        yield (
            f'training.algorithm = "{training.algorithm}" with training.recipe = "{training.recipe}" and '
            f"training.recipe-clients = {training.recipe_clients}: clients keep statistics of their own, and those "
            'without adversarial images would never get the shared ones; choose another algorithm, such as "fedavg"'
        )
    if model.batchnorm_policy not in ("auto", "average"):
        yield (
            f'model.batchnorm-policy = "{model.batchnorm_policy}" with training.recipe = "{training.recipe}": the '
            'recipe shares statistics of adversarial images, which this would replace; choose "average" or "auto"'
        )
    elif not classifier().layout.statistics:
        yield (
            f'training.recipe = "{training.recipe}" with model.name = "{model.name}": it shares BatchNorm statistics, '
            "and nothing that is trained has any; choose a network with BatchNorm, model.normalization = batch and "
            "layers that include it, or another recipe"
        )


def second_batchnorm(
    model: Model, training: Training, recipe: Recipe, classifier: Callable[[], Classifier]
) -> Iterator[str]:
    """A recipe with two sets of BatchNorm has BatchNorm that is trained from the first round on.

    Args:
        model: settings of the network.
        training: names the recipe, and the layers that are trained.
        recipe: of the study.
        classifier: returns the network.
    """
    if not two_batchnorms(recipe):
        return
    needs = f'training.recipe = "{training.recipe}": it trains two sets of BatchNorm'
    if model.norm != "batch":
        key, value = (
            ("batchnorm-policy", "frozen") if model.norm == "frozen" else ("normalization", model.norm)
        )
        yield f'model.{key} = "{value}" with {needs}; choose another, or another recipe'
    elif training.unfreeze:
        yield f"training.unfreeze = {list(training.unfreeze)} with {needs} from the first round on; take it out"
    else:
        try:
            classifier()
        except ModelError as error:
            yield f"{needs}: {error}"


def algorithm_fits(
    name: str, training: Training, algorithm: Any, classifier: Callable[[], Classifier]
) -> Iterator[str]:
    """The federated algorithm is applicable to the network.

    Args:
        name: of the network, as the study writes it.
        training: names the algorithm, and the layers that are trained.
        algorithm: of the study.
        classifier: returns the network.
    """
    if not hasattr(algorithm, "fault"):
        return
    if fault := algorithm.fault(classifier().layout):
        yield (
            f'training.algorithm = "{training.algorithm}" with model.name = "{name}" and training.layers = '
            f'"{training.layers}": {fault}; choose another algorithm, or other layers'
        )


def evasion(
    attacks: Sequence[str],
    problem: Problem,
    threat: Callable[[], Threat],
    with_file: Callable[[str], str | EvasionAttack],
) -> Iterator[str]:
    """Evasion attacks exist, search in the study's norm, and have existing target classes.

    Args:
        attacks: as the study writes them.
        problem: its images and classes.
        threat: makes every attack once; what is wrong with one it says by itself.
        with_file: finds the file of a surrogate.
    """
    threat()
    for spec in attacks:
        attack = attack_named(spec)
        if attack.target_class is not None and attack.target_class >= problem.classes:
            yield (
                f'evaluation.attacks = "{spec}": target = {attack.target_class}: the data set has classes 0 to '
                f"{problem.classes - 1}"
            )
        if hasattr(attack, "require"):
            try:
                found: Any = attack_named(with_file(spec))
                found.require(problem)
            except ValueError as error:
                yield f'evaluation.attacks = "{spec}": {error}'
