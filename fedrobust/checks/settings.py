"""Checks of settings against one another and against files; images are not needed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedrobust.aggregation import Mean
from fedrobust.aggregation.weights import SiteWeights
from fedrobust.config.sections import Audit, Evaluation, Federation, Model, Poisoning, Training
from fedrobust.data.search_path import resolve
from fedrobust.errors import ConfigError, FedrobustError
from fedrobust.models.input_format import InputFormat
from fedrobust.models.network_file import is_network_file
from fedrobust.paths import absent, expanded
from fedrobust.poisoning import Attack, AttackContext, Schedule, malicious_clients


def named(*parts: Callable[[], Any]) -> Iterator[str]:
    """All named objects can be built, including the user's own."""
    for make in parts:
        try:
            make()
        except FedrobustError as error:
            yield str(error)


def tolerated_fits(federation: Federation, sampled: int) -> Iterator[str]:
    """A rule's f is at most the number of clients in a round."""
    if isinstance(federation.tolerate, int) and federation.tolerate > sampled:
        yield f"federation.tolerate = {federation.tolerate}: a round has {sampled} clients"


def protected(
    federation: Federation, training: Training, algorithm: Any, postprocessors: Sequence[Any]
) -> Iterator[str]:
    """Postprocessors of updates apply to everything that clients send.

    Args:
        federation: names the postprocessors.
        training: names the algorithm.
        algorithm: of the study.
        postprocessors: of the study.
    """
    acts = any(hasattr(one, "client") or hasattr(one, "promise") for one in postprocessors)
    if hasattr(algorithm, "sends") and acts:
        yield (
            f'training.algorithm = "{training.algorithm}" sends arrays beside weights, which federation.postprocessors '
            f"= {list(federation.postprocessors)} do not act on: choose another algorithm, such as feddyn, or none of "
            "these at the clients"
        )


def attackers(poisoning: Poisoning, clients: int, seed: int) -> Iterator[str]:
    """An attack needs malicious clients, and malicious clients need an attack."""
    count = len(malicious_clients(poisoning.malicious, clients, seed))
    wanted = shown(poisoning.malicious)
    if poisoning.attack == "none":
        if count:
            yield (
                f'poisoning.malicious = {wanted} with poisoning.attack = "none": there would be no attack; name one, '
                f"or set poisoning.malicious = 0 (and federation.tolerate = {count} for a rule that tolerates as many "
                "nevertheless)"
            )
        return
    if not count:
        yield (
            f'poisoning.attack = "{poisoning.attack}" with poisoning.malicious = {wanted}: that is none of {clients} '
            'clients, and nobody would attack; choose at least one client, or poisoning.attack = "none"'
        )
    elif count == clients:
        yield (
            f"poisoning.malicious = {wanted}: all {clients} clients would attack, and nothing honest is left; choose "
            f"{clients - 1} or fewer"
        )


def losses_compare(federation: Federation, training: Training, rule: Any, attack: Attack) -> Iterator[str]:
    """A rule that weights clients by their training losses gets losses of the same training.

    Args:
        federation: names the rule.
        training: recipe, and the share of clients that use it.
        rule: of the study.
        attack: of the study.
    """
    by_loss = bool(getattr(rule, "BY_CLIENT", False))
    if by_loss and training.recipe_clients < 1:
        yield (
            f'training.recipe-clients = {training.recipe_clients} with federation.aggregator = "'
            f'{federation.aggregator}": clients that train plainly report losses on clean images, which are smaller, '
            "and would be favoured for that; set training.recipe-clients = 1, or choose another rule"
        )
    if attack and not by_loss and all(hasattr(part, "claimed_loss") for part in attack.parts):
        yield (
            f'poisoning.attack = "false-loss" with federation.aggregator = "{federation.aggregator}": this rule does '
            'not use the losses that clients report, and nothing would change; choose federation.aggregator = "sfat", '
            "or another attack"
        )


def site_sizes(federation: Federation, rule: Any) -> Iterator[str]:
    """A rule that is given the sizes of sites is given one for each client.

    Args:
        federation: names the rule.
        rule: of the study.
    """
    sizes = rule.sizes if isinstance(rule, SiteWeights | Mean) else ()
    if sizes and len(sizes) != federation.clients:
        yield (
            f'federation.aggregator = "{federation.aggregator}": sizes of {len(sizes)} clients, and '
            f"federation.clients = {federation.clients}: give one size for each client, in their order"
        )


def knowledge_is_used(poisoning: Poisoning, attacked: Callable[[], tuple[Attack, Schedule]]) -> Iterator[str]:
    """Colluding clients that know their own updates only are honest ones while they train, and more than one."""
    if poisoning.knowledge == "all" or poisoning.attack == "none":
        return
    given = f'poisoning.knowledge = "own" with poisoning.attack = "{poisoning.attack}"'
    try:
        attack, schedule = attacked()
    except FedrobustError:  # named elsewhere
        return
    if not attack.colludes:
        yield f'{given}: it uses no updates of others; leave knowledge out, or choose one such as "alie" or "min-max"'
    elif len(attack.parts) > 1:
        yield (
            f"{given}: what members of an attack learn from poisoned images says nothing about honest clients; choose "
            'knowledge = "all", or an attack that colludes alone'
        )
    elif len(schedule.malicious) < 2:
        yield f"{given}: only {len(schedule.malicious)} client is malicious, and updates are compared; let two attack"


def attack_changes_training(
    poisoning: Poisoning,
    training: Training,
    rounds: int,
    attack: Callable[[], tuple[Attack, Schedule]],
    changed: Callable[[int], Mapping[str, Any]],
) -> Iterator[str]:
    """An attack on the training changes the training of a malicious client in some round.

    Args:
        poisoning: names the attack.
        training: of the study.
        rounds: of the study.
        attack: returns the attack, and who attacks when.
        changed: returns the settings of ``[training]`` that differ at a client.
    """
    if poisoning.attack == "none" or poisoning.first_round > rounds:
        return
    named, schedule = attack()
    if not all(hasattr(part, "training") for part in named.parts):
        return
    active = (round for round in range(1, rounds + 1) if schedule.active(round))
    own = {tuple(changed(client).items()) for client in schedule.malicious}
    if not any(
        _trains_otherwise(named, training.model_copy(update=dict(each)), round)
        for round in active
        for each in own
    ):
        begins = f" from round {training.recipe_from}" if training.recipe_from > 1 else ""
        yield (
            f'poisoning.attack = "{poisoning.attack}" with training.recipe = "{training.recipe}"{begins}: malicious '
            "clients would train as they do without it; choose another recipe, another attack, or other rounds"
        )


def _trains_otherwise(attack: Attack, training: Training, round: int) -> bool:
    usual = training.in_round(round)
    changed = dict(attack.training(AttackContext(round=round)))
    return usual.model_copy(update=changed).model_dump() != usual.model_dump()


def defended_space(model: Model, evaluation: Evaluation) -> Iterator[str]:
    """Evasion attacks include the prediction-time defence: they perturb its input."""
    if model.defence != "none" and evaluation.space == "prepared":
        yield (
            f'evaluation.space = "prepared" with model.defence = "{model.defence}": attacks would perturb what comes '
            'out of the defence; choose evaluation.space = "native"'
        )


def detector_measured(model: Model, evaluation: Evaluation, audit: Audit) -> Iterator[str]:
    """A detector is measured by the audit, on the pixels that are stored."""
    named = f'model.detector = "{model.detector}"'
    if model.detector == "none":
        return
    if not audit.enabled:
        yield f"audit.enabled = false with {named}: the audit measures the detector; set it to true"
    if evaluation.space == "prepared":
        yield (
            f'evaluation.space = "prepared" with {named}: the detector sees stored images; choose evaluation.space = '
            '"native"'
        )


def weights_file(model: Model, base: Path | None, root: str) -> Iterator[str]:
    """The file of the initial weights exists."""
    if model.weights not in ("random", "imagenet", "file"):
        yield from _missing("model.weights", model.weights, lambda name: resolve(name, base, root))


def network_file(model: Model, base: Path | None, root: str) -> Iterator[str]:
    """The file that holds the network exists."""
    if is_network_file(model.name):
        yield from _missing("model.name", model.name, lambda name: resolve(name, base, root))


def control_file(audit: Audit, base: Path | None) -> Iterator[str]:
    """The audit's control exists, and its declared input format and class order can be read."""
    if audit.enabled and audit.control:
        yield from _missing("audit.control", audit.control, lambda name: _control(name, base))
    if audit.control_input:
        InputFormat.parse(audit.control_input, "audit.control-input")


def _missing(key: str, name: str, find: Callable[[str], Any]) -> Iterator[str]:
    try:
        find(name)
    except FedrobustError as error:
        yield f'{key} = "{name}": {error}'


def _control(name: str, base: Path | None) -> None:
    given = Path(name)
    places = [expanded(given), *([expanded(base / given)] if base else [])]
    if not any(place.exists() for place in places):
        raise ConfigError(absent(name, "file or run folder"))


def shown(value: Any) -> str:
    """Return a value as in a study file."""
    return str(list(value)) if isinstance(value, tuple) else str(value)
