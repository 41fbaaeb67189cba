"""What a study promises about privacy: its record, and why a promise cannot be kept or is hopeless."""

import math
from collections.abc import Iterator
from dataclasses import replace

from fedrobust.config.sections import Federation
from fedrobust.engines.grid import SimulatedGrid
from fedrobust.errors import ConfigError
from fedrobust.privacy import Promise
from fedrobust.runs.record import PrivacyRecord, PromisedClientRecord, PromiseRecord, RunRecord
from server.image_promises import ImagePromises
from server.parts import ServerParts

HOPELESS = 10.0
"""How many times longer than the longest possible way of the weights the noise of all releases may be.

Measured on PneumoniaMNIST with a head on ImageNet features: an AUC of 0.93 without noise is 0.80 at 10, see
experiments/privacy.
"""

MOST_LISTED = 1000
"""Most clients whose promises are recorded one by one."""

NOT_COVERED = (
    "the record and the report of a simulation: figures of single clients, of the defence and of class mixes",
    "the numbers of images of clients, and which of them took part in a round",
    "rounding: noise is added in floating point (Mironov, 2012, doi:10.1145/2382196.2382264)",
)
"""What no promise covers."""


def check_promises(parts: ServerParts) -> None:
    """Refuse a promise that BatchNorm breaks, and noise that leaves nothing to learn.

    Args:
        parts: of the study's server.

    Raises:
        ConfigError: either is the case; of the noise only without ``privacy.force``.
    """
    faults = [
        *_simulated(parts),
        *_batchnorm(parts),
        *_delta(parts),
        *_noise(parts),
    ]
    if faults:
        raise ConfigError("\n".join(faults))


def check_absent(promise: Promise | None, federation: Federation, here: int) -> None:
    """Refuse a promise that counts on clients which are not connected.

    Args:
        promise: of the study's clients; None: nothing is promised.
        federation: number of clients, and their postprocessors.
        here: number of connected clients.

    Raises:
        ConfigError: their shares of the noise are missing, or the others are drawn more often than is accounted.
    """
    if promise is None or here >= federation.clients:
        return
    given = (
        f"federation.postprocessors = {list(federation.postprocessors)} with {here} of {federation.clients} clients "
        "connected"
    )
    if promise.noise == "distributed":
        raise ConfigError(
            f"{given}: the others' shares of the noise are missing; set federation.clients = {here}"
        )
    if promise.releases.sampling == "without-replacement":
        raise ConfigError(
            f"{given}: sampling without replacement is accounted for {federation.clients}, and fewer are drawn more "
            f"often; set federation.clients = {here}"
        )


def _simulated(parts: ServerParts) -> Iterator[str]:
    if parts.study.experiment.federation.secure_aggregation and not isinstance(parts.grid, SimulatedGrid):
        yield (
            "federation.secure-aggregation = true in a deployment: its effect is simulated, and no cryptography would "
            "hide the sites' updates; set false"
        )


def _batchnorm(parts: ServerParts) -> Iterator[str]:
    policy = parts.batchnorm_policy
    if parts.study.promise is None or policy in ("none", "recalibrate"):
        return
    given = parts.study.experiment.model
    yield (
        f'model.batchnorm-policy = "{given.batchnorm_policy}" with federation.postprocessors = '
        f"{list(parts.study.experiment.federation.postprocessors)}: BatchNorm statistics of the clients ({policy}) "
        'would reach the global model without noise; set "recalibrate", which measures them on the server\'s '
        'validation images, or "frozen", or model.normalization = "group", or training.layers = "head"'
    )


def _delta(parts: ServerParts) -> Iterator[str]:
    images, delta = parts.image_promises, parts.study.experiment.privacy.delta
    most = max(images.images.values()) if images else 0
    if delta * most >= 1:
        yield (
            f"privacy.delta = {delta:g}: a client has {most:,} images, and publishing one of them by chance would keep "
            f"this promise; choose a delta well below {1 / most:.2g}"
        )


def _noise(parts: ServerParts) -> Iterator[str]:
    if parts.study.experiment.privacy.force:
        return
    d, head = parts.classifier.layout.parameters, parts.study.experiment.training.trained_layers == "head"
    for one in promises_of(parts):
        times = one.hopeless(d)
        if times > HOPELESS:
            less = "" if head else 'set training.layers = "head", which leaves few parameters, '
            yield (
                f"{one.mechanism} with {d:,} parameters: {ratio(one, d)}, and over all {one.releases.count} releases "
                f"the noise is {times:.3g} times as long as the longest way that the weights can go: hardly "
                f"anything is learnt; {less}take more {'clients' if one.unit == 'client' else 'images in a batch'}, "
                "more rounds, a smaller noise multiplier, or set privacy.force = true"
            )


def promises_of(parts: ServerParts, repeated: int = 0) -> list[Promise]:
    """Return the promises of a study, of clients and of images, `repeated` of whose rounds were released twice."""
    promise, images = parts.study.promise, _image_promises(parts, repeated)
    rounds = parts.study.experiment.federation.rounds
    return [
        *([] if promise is None else [promise.repeated(repeated, rounds)]),
        *([] if images is None else [images.worst]),
    ]


def _image_promises(parts: ServerParts, repeated: int) -> ImagePromises | None:
    images = parts.image_promises
    return replace(images, repeated=repeated) if images is not None and repeated else images


def repeated_rounds(record: RunRecord) -> int:
    """Return how many rounds of a run may have been trained twice at sites: one for each time that it was resumed.

    A round whose server was stopped before its checkpoint is trained again, with new noise. In a simulation its noise
    is the same, and nothing more is released.
    """
    rounds = record.experiment["federation"]["rounds"]
    return 0 if record.sites is None else sum(one < rounds for one in record.resumed_after)


def ratio(promise: Promise, parameters: int) -> str:
    """Return the noise of one release beside the clipping norm, in words.

    Example:
        >>> from fedrobust.privacy import Releases
        >>> ratio(Promise("client", "gaussian-dp", "server", 1.0, Releases(1.0, 20), averaged=10), 2562)
        'the noise in the mean of a round has 5.06 times the clipping norm'
    """
    of = "a round" if promise.unit == "client" else "a step"
    return (
        f"the noise in the mean of {of} has {promise.noise_to_clip(parameters):.3g} times the clipping norm"
    )


def privacy_record(parts: ServerParts, repeated: int = 0) -> PrivacyRecord | None:
    """Return the study's ``privacy`` in ``result.json``; None where nothing is promised.

    Args:
        parts: of the study's server.
        repeated: rounds that count twice, see `repeated_rounds`.
    """
    experiment, promises = parts.study.experiment, promises_of(parts, repeated)
    if not promises and not experiment.federation.secure_aggregation:
        return None
    images = _image_promises(parts, repeated)
    records = tuple(promise_record(parts, one, images) for one in promises)
    return PrivacyRecord(
        promises=records,
        secure_aggregation=experiment.federation.secure_aggregation,
        not_covered=NOT_COVERED if records else (),
    )


def promise_record(parts: ServerParts, promise: Promise, images: ImagePromises | None) -> PromiseRecord:
    """Return one promise with its epsilons, and with those of clients to their `images`."""
    delta, releases = parts.study.experiment.privacy.delta, promise.releases
    rdp, pld = promise.spent(delta)
    spent = rdp if pld is None else min(rdp, pld)
    rate = releases.sampled / releases.population if releases.population else releases.rate
    return PromiseRecord(
        unit=promise.unit,
        mechanism=promise.mechanism,
        noise=promise.noise,
        adjacency=releases.adjacency,
        sampling=releases.sampling,
        rate=rate,
        releases=releases.count,
        clip=promise.clip,
        noise_multiplier=releases.noise_multiplier,
        delta=delta,
        epsilon=finite(spent),
        epsilon_rdp=finite(rdp),
        epsilon_pld=None if pld is None else finite(pld),
        noise_to_clip=promise.noise_to_clip(parts.classifier.layout.parameters),
        clients=client_records(images) if promise.unit == "image" else None,
    )


def client_records(promises: ImagePromises | None) -> tuple[PromisedClientRecord, ...]:
    """Return the promise of each client to its images; of those with the largest epsilon if there are very many."""
    if promises is None:
        return ()
    found = [
        PromisedClientRecord(
            client=client,
            images=images,
            rate=promises.by_size[images].releases.rate,
            steps=promises.by_size[images].releases.count,
            noise_multiplier=promises.by_size[images].releases.noise_multiplier,
            epsilon=finite(promises.epsilons[images]),
        )
        for client, images in promises.images.items()
    ]
    if len(found) <= MOST_LISTED:
        return tuple(found)
    return tuple(sorted(found, key=lambda one: -promises.epsilons[one.images])[:MOST_LISTED])


def promised_together(before: PrivacyRecord | None, now: PrivacyRecord | None) -> PrivacyRecord | None:
    """Return the promises of a resumed run, whose clients may be others than before.

    Each is of a client that takes part in every round, and so holds for one that came late or left: the weaker one of
    both. The promise to images lists the clients of both, each with its weaker promise.

    Args:
        before: the record of the rounds before.
        now: that of the clients that are connected now.
    """
    if before is None or now is None:
        return before or now
    later = {one.unit: one for one in now.promises}
    promises = tuple(_weaker(one, later[one.unit]) if one.unit in later else one for one in before.promises)
    return replace(before, promises=promises)


def _weaker(one: PromiseRecord, other: PromiseRecord) -> PromiseRecord:
    weaker = max(one, other, key=_epsilon)
    if one.clients is None and other.clients is None:
        return weaker
    clients: dict[int, PromisedClientRecord] = {}
    for each in (*(one.clients or ()), *(other.clients or ())):
        clients[each.client] = max(clients.get(each.client, each), each, key=_epsilon)
    return replace(weaker, clients=tuple(clients[client] for client in sorted(clients)))


def _epsilon(promise: PromiseRecord | PromisedClientRecord) -> float:
    return math.inf if promise.epsilon is None else promise.epsilon


def finite(value: float) -> float | None:
    """Return `value`, None if it is infinite: JSON has no infinity."""
    return value if math.isfinite(value) else None
