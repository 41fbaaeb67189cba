"""Everything that a study names, checked against everything else and against its data, before its first round.

`check_data` needs no TensorFlow, which is imported inside of functions, and comes first; `check_models` looks at what
the networks see. Both tell everything that is wrong at once. Server, doctor, sweeps and the Python interface call them;
what a family's members demand of the data is their own business: they may have a method ``require``, which raises
ValueError in words.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedrobust.aggregation import FLTrust
from fedrobust.config import ConfigError, Experiment
from fedrobust.config.resolve import attack_of, defence_of, server_optimizer_of
from fedrobust.data.dataset import Dataset, Problem
from fedrobust.data.load import load
from fedrobust.data.partition.drawn import Drawing
from fedrobust.data.search_path import resolve
from fedrobust.epsilon import epsilon_value
from fedrobust.errors import FedrobustError
from fedrobust.evasion import attack_named
from fedrobust.models.input_format import InputFormat
from fedrobust.paths import expanded
from fedrobust.poisoning import Attack, Scene, attacks_in, malicious_clients
from fedrobust.randomness import Purpose, generator
from fedrobust.registry import UnknownNameError
from fedrobust.shares import sample_size
from fedrobust.spec import SpecError
from fedrobust.study import base_of, classifier_of, dataset_of, evasion_of, partition_of, recipe_of, shard_of

if TYPE_CHECKING:
    from fedrobust.models.architecture import Architecture

Check = Callable[[Experiment], Iterable[str]]


def check(experiment: Experiment) -> None:
    """Refuse a study that cannot be run as written, or that would not be what it says.

    Raises:
        ConfigError: settings, names, files and data do not fit together; the message has a line for each fault.
        DataError: the images cannot be had, or do not go round.
    """
    check_data(experiment)
    check_models(experiment)


def check_data(experiment: Experiment) -> None:
    """Refuse what can be seen to be wrong without TensorFlow; see `check`."""
    _refuse(experiment, [_names, _reckoned, _attackers, _schedule, _strengths, _files, _control_told])
    dataset_of(experiment)
    partition_of(experiment)
    _refuse(experiment, [_root_images, _attack_fits, _attack_acts, _strengths_fit, _public_images])


def check_models(experiment: Experiment) -> None:
    """Refuse recipes, attacks and networks that do not fit the study's images; see `check`."""
    _refuse(experiment, [_recipe, _networks, _normalised_alone, _evasion])


def check_reach(
    epsilons: Iterable[float | str], norm: str, shape: Sequence[int], setting: str = "epsilon"
) -> None:
    """Refuse epsilons that no image of a shape can differ by.

    Args:
        epsilons: as a user writes them.
        norm: "linf", "l2" or "l0".
        shape: (height, width, channels).
        setting: what gave them, for the message.

    Raises:
        ConfigError: one is not above 0, or beyond the largest distance of two images in [0, 1].

    Example:
        >>> check_reach([29], "l2", (28, 28, 1))
        Traceback (most recent call last):
        fedrobust.errors.ConfigError: epsilon = 29: choose a number above 0, up to 28, the largest distance of two \
images of 28 x 28 x 1 in l2
    """
    height, width, channels = shape
    furthest = {"linf": 1.0, "l2": math.sqrt(height * width * channels), "l0": float(height * width)}[norm]
    for epsilon in epsilons:
        value = epsilon_value(epsilon)
        if not 0 < value <= furthest:
            raise ConfigError(
                f"{setting} = {epsilon}: choose a number above 0, up to {furthest:.4g}, the largest distance of two "
                f"images of {height} x {width} x {channels} in {norm}"
            )
        if norm == "l0" and value != int(value):
            raise ConfigError(f"{setting} = {epsilon}: l0 counts pixels; choose a whole number")


def _refuse(experiment: Experiment, checks: Iterable[Check]) -> None:
    """Run all `checks`, and raise one error with everything that they found."""
    found: list[str] = []
    for one in checks:
        try:
            found += one(experiment)
        except FedrobustError as error:
            found.append(str(error))
    if found:
        raise ConfigError("\n".join(dict.fromkeys(found)))


def _names(experiment: Experiment) -> Iterator[str]:
    """Everything that is named can be made, a user's own things among them."""
    federation, poisoning, base = experiment.federation, experiment.poisoning, experiment.base
    for make in (
        lambda: defence_of(federation, experiment.tolerated, base),
        lambda: server_optimizer_of(federation, base),
        lambda: attack_of(poisoning, base),
    ):
        try:
            make()
        except FedrobustError as error:
            yield str(error)


def _attackers(experiment: Experiment) -> Iterator[str]:
    """A study that names an attack is attacked, and one that names attackers says what they do."""
    poisoning, clients = experiment.poisoning, experiment.federation.clients
    attackers = len(malicious_clients(poisoning.malicious, clients, experiment.seed))
    wanted = shown(poisoning.malicious)
    if poisoning.attack == "none":
        if attackers:
            yield (
                f'poisoning.malicious = {wanted} with poisoning.attack = "none": nobody would attack; name an attack, '
                f"or set poisoning.malicious = 0 (and federation.tolerate = {attackers} for a rule that shall reckon "
                "with "
                "attackers all the same)"
            )
        return
    if not attackers:
        yield (
            f'poisoning.attack = "{poisoning.attack}" with poisoning.malicious = {wanted}: that is none of {clients} '
            'clients, and nobody would attack; choose at least one client, or poisoning.attack = "none"'
        )
    elif attackers == clients:
        yield (
            f"poisoning.malicious = {wanted}: all {clients} clients would attack, and nothing honest is left; choose "
            f"{clients - 1} or fewer"
        )


def _schedule(experiment: Experiment) -> Iterator[str]:
    """Attackers attack in one of the rounds, and what they leave out is there to be left out."""
    poisoning, rounds = experiment.poisoning, experiment.federation.rounds
    if poisoning.attack == "none":
        return
    if poisoning.first_round > rounds:
        yield (
            f"poisoning.first-round = {poisoning.first_round}: the study ends after round {rounds}, and nobody would "
            f"attack; choose 1 to {rounds}"
        )
    training = experiment.training
    if all(hasattr(part, "training") for part in attack_of(experiment.poisoning, experiment.base).parts):
        changed = [
            round
            for round in range(1, rounds + 1)
            if attacks_in(poisoning, round) and _trains_otherwise(experiment, round)
        ]
        if poisoning.first_round <= rounds and not changed:
            begins = f" from round {training.recipe_from}" if training.recipe_from > 1 else ""
            yield (
                f'poisoning.attack = "{poisoning.attack}" with training.recipe = "{training.recipe}"{begins}: '
                "malicious "
                "clients would train as all others do; choose another recipe, another attack, or other rounds"
            )


def _trains_otherwise(experiment: Experiment, round: int) -> bool:
    usual = experiment.training.in_round(round)
    changed = dict(attack_of(experiment.poisoning, experiment.base).training(Scene(round=round)))
    return usual.model_copy(update=changed).model_dump() != usual.model_dump()


def _strengths(experiment: Experiment) -> Iterator[str]:
    """Attacks on the finished model have strengths."""
    evaluation = experiment.evaluation
    if evaluation.attacks and not evaluation.epsilons:
        yield (
            f"evaluation.epsilons = [] with evaluation.attacks = {list(evaluation.attacks)}: an attack needs at least "
            "one strength; give one, or set evaluation.attacks = []"
        )


def _files(experiment: Experiment) -> Iterator[str]:
    """Files that are needed later are there now."""
    base, root = base_of(experiment), experiment.data.root
    if experiment.model.weights not in ("random", "imagenet"):
        yield from _missing("model.weights", experiment.model.weights, lambda name: resolve(name, base, root))
    if experiment.audit.enabled and experiment.audit.control:
        yield from _missing("audit.control", experiment.audit.control, lambda name: _control(name, base))


def _control_told(experiment: Experiment) -> Iterator[str]:
    """What is told of the control's images can be read."""
    if experiment.audit.control_input:
        InputFormat.parse(experiment.audit.control_input, "audit.control-input")
    yield from ()


def _public_images(experiment: Experiment) -> Iterator[str]:
    """A student's public images have the shape of the study's."""
    data, public = experiment.data, experiment.distillation.public
    if not (experiment.distillation.enabled and public):
        return
    settings = {"classes": data.classes, "channels": data.channels, "samples": data.samples}
    try:
        other = load(public, data.size, data.root, seed=experiment.seed, base=base_of(experiment), **settings)
    except FedrobustError as error:
        yield f'distillation.public = "{public}": {error}'
        return
    own = dataset_of(experiment).image_shape
    if other.image_shape != own:
        yield f'distillation.public = "{public}": images of {other.image_shape}, the study\'s are {own}'


def _reckoned(experiment: Experiment) -> Iterator[str]:
    """A rule is not told of more attackers than a round has clients."""
    federation = experiment.federation
    sampled = sample_size(federation.participation, federation.clients)
    if isinstance(federation.tolerate, int) and federation.tolerate > sampled:
        yield f"federation.tolerate = {federation.tolerate}: a round has {sampled} clients"


def _missing(key: str, name: str, find: Callable[[str], Any]) -> Iterator[str]:
    try:
        find(name)
    except FedrobustError as error:
        yield f'{key} = "{name}": {error}'


def _control(name: str, base: Path | None) -> None:
    given = Path(name)
    places = [expanded(given), *([expanded(base / given)] if base else [])]
    if not any(place.exists() for place in places):
        raise ConfigError("there is no such file or run folder")


def _root_images(experiment: Experiment) -> Iterator[str]:
    check_root(experiment, dataset_of(experiment))
    yield from ()


def check_root(experiment: Experiment, dataset: Dataset) -> None:
    """Refuse a rule that wants more images of the server's own than there are.

    Raises:
        ConfigError: it does.
    """
    rule = defence_of(experiment.federation, experiment.tolerated, experiment.base).rule
    there = len(dataset.validation)
    if isinstance(rule, FLTrust) and rule.images > there:
        raise ConfigError(
            f'federation.aggregator = "{experiment.federation.aggregator}": images = {rule.images}: the root images '
            f"come from the validation split, which has {there}"
        )


def _attack_fits(experiment: Experiment) -> Iterator[str]:
    """Classes and triggers of the poisoning attack lie inside the images."""
    attack = attack_of(experiment.poisoning, experiment.base)
    try:
        attack.require(Problem.of(dataset_of(experiment)), experiment.model.image_size)
    except ValueError as error:
        yield f'poisoning.attack = "{experiment.poisoning.attack}": {error}'


def _attack_acts(experiment: Experiment) -> Iterator[str]:
    """An attack changes something: images or labels of a malicious client, what it sends, or what it claims."""
    attack, malicious = attack_of(experiment.poisoning, experiment.base), experiment.malicious
    if not malicious or attack.conspires or any(hasattr(part, "training") for part in attack.parts):
        return
    if any(_attack_fits(experiment)):  # why it cannot act is said there
        return
    looked_at = malicious[:MOST_LOOKED_AT] if isinstance(partition_of(experiment), Drawing) else malicious
    try:
        if _sends_otherwise(attack) or _trains_on_others(experiment, attack, looked_at):
            return
    except SpecError:  # it needs the global model, which is not there yet
        return
    except Exception as error:  # an attack of a user's own
        yield f'poisoning.attack = "{experiment.poisoning.attack}": it fails: {type(error).__name__}: {error}'
        return
    yield (
        f'poisoning.attack = "{experiment.poisoning.attack}": it would change nothing: no image and no label of the '
        f"malicious clients {shown(looked_at)}, nor what they send; choose other settings, or other clients"
    )


MOST_LOOKED_AT = 100
"""Malicious clients whose images are looked at, where clients draw theirs on demand."""

PROBES = tuple(10.0**power for power in range(-3, 13, 3))
"""Sizes of the updates on which an attack is tried out."""


def _sends_otherwise(attack: Attack) -> bool:
    """Return whether any update that is tried out, or any claim, is sent as another one."""
    update = np.random.default_rng(0).standard_normal(64, dtype=np.float32)
    scene = Scene(malicious=2, clients=10)
    for size in PROBES if any(hasattr(part, "update") for part in attack.parts) else ():
        if not np.array_equal(attack.update(update * np.float32(size), scene), update * np.float32(size)):
            return True
    return any(attack.claim(examples) != examples for examples in (10, 1000))


def _trains_on_others(experiment: Experiment, attack: Attack, clients: Sequence[int]) -> bool:
    """Return whether any of the `clients` trains on other images or labels than its own."""
    if not attack.trains:
        return True
    dataset = dataset_of(experiment)
    for rank, client in enumerate(clients):
        shard = shard_of(experiment, client)
        images, labels = attack.data(shard.images, shard.labels, scene_of(experiment, dataset, rank, client))
        if not (np.array_equal(images, shard.images) and np.array_equal(labels, shard.labels)):
            return True
    return False


def scene_of(experiment: Experiment, dataset: Dataset, rank: int, client: int) -> Scene:
    """Return what a malicious client knows before the first round, with the draws that stay the same in all rounds."""
    federation, seed = experiment.federation, experiment.seed
    return Scene(
        partition=client,
        rank=rank,
        malicious=len(experiment.malicious),
        clients=federation.clients,
        sampled=sample_size(federation.participation, federation.clients),
        classes=dataset.classes,
        seed=seed,
        fixed=generator(seed, Purpose.POISONING, 0, client + 1),
    )


def _strengths_fit(experiment: Experiment) -> Iterator[str]:
    """Epsilons lie within the largest distance of two images, in the norm and the space of the study."""
    evaluation, audit = experiment.evaluation, experiment.audit
    side = experiment.model.image_size
    native = dataset_of(experiment).image_shape
    shape = native if evaluation.space == "native" else (side, side, 3)
    given = {"evaluation.epsilons": evaluation.epsilons if evaluation.attacks else ()}
    if audit.enabled:
        given |= {"audit.epsilon": (audit.epsilon,), "audit.epsilons": audit.epsilons}
    for setting, epsilons in given.items():
        for epsilon in epsilons:
            try:
                check_reach([epsilon], evaluation.norm, shape, setting)
            except ConfigError as error:
                yield str(error)
    if audit.enabled and evaluation.bits and epsilon_value(audit.epsilon) < (1 - 1e-6) / 255:
        yield (
            f"audit.epsilon = {audit.epsilon} with evaluation.bits = {evaluation.bits}: no other 8-bit image lies "
            "within; choose at least 1/255, one grey level"
        )


def _recipe(experiment: Experiment) -> Iterator[str]:
    recipe_of(experiment)
    yield from ()


def _networks(experiment: Experiment) -> Iterator[str]:
    """Images are large enough for the network and the student, and there are weights for what is asked."""
    model, distillation = experiment.model, experiment.distillation
    native = min(dataset_of(experiment).image_shape[:2])
    network = yield from _architecture("model.name", model.name)
    if network is not None:
        yield from _large_enough("model.image-size", model.image_size, model.name, network)
        if model.weights == "imagenet" and not network.imagenet:
            yield f'model.weights = "imagenet": {model.name} has none; choose "random" or a file'
    if not distillation.enabled:
        return
    student = yield from _architecture("distillation.student", distillation.student)
    if student is not None:
        side = distillation.image_size or native
        yield from _large_enough("distillation.image-size", side, distillation.student, student)


def _architecture(key: str, name: str) -> "Iterator[str] | Any":
    from fedrobust.models.architecture import ModelError
    from fedrobust.models.architectures import architecture_named

    try:
        return architecture_named(name)
    except (UnknownNameError, ModelError) as error:
        yield f'{key} = "{name}": {error}'
    return None


def _large_enough(key: str, side: int, name: str, network: "Architecture") -> Iterator[str]:
    if side < network.smallest:
        yield (
            f"{key} = {side}: {name} takes images from {network.smallest} pixels up; set {key} to "
            f"{network.smallest} or "
            "more (images are resized inside the model)"
        )


def _normalised_alone(experiment: Experiment) -> Iterator[str]:
    """No batch is a single image where the network normalises over the batch.

    In training BatchNorm would take each image's own mean and variance. Deep layers have one value a channel: less its
    own mean it is 0 whatever the image, and nothing is learnt. Batches of a client are of nearly equal size
    (`fedrobust.training.batches`), so that above 2 no client of two images or more has such a batch.
    """
    if experiment.training.batch_size > 1:
        return
    if classifier_of(experiment, Problem.of(dataset_of(experiment))).layout.statistics:
        yield (
            f"training.batch-size = 1: {experiment.model.name} normalises over the batch (BatchNorm), and would see of "
            "each image only what is left when its own mean is taken away; choose 2 or more"
        )


def _evasion(experiment: Experiment) -> Iterator[str]:
    """Attacks on the finished model can be made, search in the study's norm, and want classes that there are."""
    evasion_of(experiment)
    problem = Problem.of(dataset_of(experiment))
    for spec in experiment.evaluation.attacks:
        attack = attack_named(spec)
        if attack.goal is not None and attack.goal >= problem.classes:
            yield (
                f'evaluation.attacks = "{spec}": target = {attack.goal}: the data set has classes 0 to '
                f"{problem.classes - 1}"
            )
        if hasattr(attack, "require"):
            try:
                attack.require(problem)
            except ValueError as error:
                yield f'evaluation.attacks = "{spec}": {error}'


def shown(value: Any) -> str:
    """Return a value as a study file writes it."""
    return str(list(value)) if isinstance(value, tuple) else str(value)
