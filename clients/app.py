"""The Flower ClientApp: every hospital of a study, simulated or real."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial, wraps
from typing import Any, cast

import numpy as np
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from clients.attacker import Attacker
from clients.client import Client, told
from clients.shard import client_id_of, shard
from clients.site_budget import SiteBudget
from fedrobust.algorithms import State
from fedrobust.code_digest import code_digest
from fedrobust.config import Experiment
from fedrobust.config.sections import Model, Training
from fedrobust.data.calibration_sample import calibration_sample
from fedrobust.data.site_error import told_server
from fedrobust.errors import ConfigError
from fedrobust.flower.records import arrays_of, arrays_record, problem_of, weights_of, weights_record
from fedrobust.memoize import memoize
from fedrobust.models.architecture import ModelError
from fedrobust.models.recalibration import recalibration_of
from fedrobust.own_modules import only
from fedrobust.poisoning.memory import RECORD
from fedrobust.privacy.sent import postprocessed
from fedrobust.runtime import start_tensorflow
from fedrobust.study import Study
from fedrobust.training.calibration import calibrate

app = ClientApp()

STATE = "algorithm"
"""The record of a node's state that holds the state of the algorithm's client side."""

BESIDE = "algorithm"
"""The record of a message that holds the algorithm's arrays beside the weights."""


def allowed_modules(node_config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the modules that a study's dotted paths may import: those of ``own-modules``; None: all, in a simulation.

    A node with images of its own gets the study from another machine.

    Example:
        >>> allowed_modules({"partition-id": 0}), allowed_modules({"data-path": "mine.npz"})
        (None, ())
        >>> allowed_modules({"data-path": "mine.npz", "own-modules": "my_recipes,my_models"})
        ('my_recipes', 'my_models')
    """
    if "data-path" not in node_config:
        return None
    return tuple(name for name in str(node_config.get("own-modules", "")).split(",") if name)


Handler = Callable[[Message, Context], Message]


def within_limits(handler: Handler) -> Handler:
    """Return a handler whose study imports the node's `allowed_modules` only.

    Flower sends the server the text of what it raises: at a node with images of its own, that is what `told_server`
    lets leave the site.
    """

    @wraps(handler)
    def limited(message: Message, context: Context) -> Message:
        try:
            with only(allowed_modules(context.node_config)):
                return handler(message, context)
        except Exception as error:
            said = told_server(error) if "data-path" in context.node_config else error
            if said is error:
                raise
            raise said from error

    return limited


@app.query()
@within_limits
def introduce(message: Message, context: Context) -> Message:
    """Reply with this node's client id, number of images and speed, after building all parts of training."""
    study = _study(message, context)
    client, training = _client(study, context), study.experiment.training
    if (budget := SiteBudget.of(context.node_config, context.run_config)) is not None:
        budget.check(study, len(client.shard), round_of(message))
    calibration = calibrate(study.local_training.update(training), client.shard, training.batch_size)
    answer: dict[str, int | float | list[int] | list[float]] = {
        "partition": client.client_id,
        "num-examples": len(client.shard),
        "parameters": study.classifier.layout.parameters,
        "step-seconds": calibration.step_seconds,
        "memory-bytes": calibration.memory_bytes,
    }
    software = ConfigRecord({"code": code_digest()})
    return Message(RecordDict({"hospital": MetricRecord(answer), "software": software}), reply_to=message)


@app.train()
@within_limits
def train(message: Message, context: Context) -> Message:
    """Reply with the weights after one local update, and its metrics."""
    weights = weights_of(message.content.array_records["weights"])
    number = round_of(message)
    state = arrays_of(context.state.array_records.get(STATE))
    study = _study(message, context)
    client = _client(study, context, message.content.config_records["config"].get("batchnorm"))
    broadcast = arrays_of(message.content.array_records.get(BESIDE))
    memory = arrays_of(context.state.array_records.get(RECORD))
    if (budget := SiteBudget.of(context.node_config, context.run_config)) is not None:
        budget.reserve(study, len(client.shard), number)
    sent, metrics = client.train(weights, number, state, broadcast, memory)
    for name, kept in ((STATE, usable(sent.state, state)), (RECORD, sent.memory)):
        context.state.pop(name, None)
        if kept:
            context.state[name] = arrays_record(kept)
    content = RecordDict({"weights": weights_record(sent.weights), "metrics": MetricRecord(dict(metrics))})
    if sent.arrays:
        content[BESIDE] = arrays_record(sent.arrays)
    return Message(content, reply_to=message)


def round_of(message: Message) -> int:
    """Return the number of a message's round, from 1; of a query, of the round that is trained next.

    Raises:
        ConfigError: the message has no whole number.
    """
    number = message.content.config_records["config"].get("round")
    if type(number) is not int:
        raise ConfigError(f"round = {number!r} in the server's message; allowed: a whole number from 1")
    return number


def usable(new: State, old: State) -> State:
    """Return a client's next state; the one before if a number in it is not finite.

    Else a client that diverges once, as by a single batch, would send such numbers in all later rounds.

    Example:
        >>> usable({"variate": np.float32([np.inf])}, {"variate": np.float32([1])})
        {'variate': array([1.], dtype=float32)}
    """
    return new if all(np.isfinite(array).all() for array in new.values()) else old


@app.train("group")
@within_limits
def train_group(message: Message, context: Context) -> Message:
    """Reply with the weights of many honest simulated clients, one row each, and their metrics.

    Raises:
        ConfigError: this node has images of its own, which no simulation uses.
    """
    if "data-path" in context.node_config:
        raise ConfigError(
            "training in groups is for simulated clients, and this one has its own images (data-path)"
        )
    weights = weights_of(message.content.array_records["weights"])
    config = message.content.config_records["config"]
    clients, number = cast(list[int], config["clients"]), cast(int, config["round"])
    study = _study(message, context)
    sent = [
        (
            postprocessed(
                study.postprocessors, after, weights, study.local_training.noise_seed, number, client
            ),
            told(study.postprocessors, measured),
        )
        for client, (after, measured) in zip(
            clients, study.group_training(clients, weights, number), strict=True
        )
    ]
    columns = {name: [measured[name] for _, measured in sent] for name in sent[0][1] if name != "round"}
    arrays = {
        "trainable": np.stack([after.trainable for after, _ in sent]),
        "statistics": np.stack([after.statistics for after, _ in sent]),
    }
    metrics = MetricRecord({**columns, "round": number})
    return Message(RecordDict({"weights": arrays_record(arrays), "metrics": metrics}), reply_to=message)


@memoize(keep=4)
def _experiment(items: tuple[tuple[str, Any], ...]) -> Experiment:
    experiment = Experiment.from_run_config(dict(items))
    start_tensorflow(experiment.engine.workers)
    return experiment


def _study(message: Message, context: Context) -> Study:
    experiment = _experiment(tuple(sorted(context.run_config.items())))
    config = message.content.config_records["config"]
    study = Study.of(experiment, problem_of(config))
    check_network(study.network_digest, config.get("network", ""), experiment.model)
    check_frozen(
        study.classifier.layout.frozen, config.get("frozen", ""), experiment.model, experiment.training
    )
    return study


def check_network(own: str, servers: object, model: Model) -> None:
    """Refuse to train a network from another file than the server's.

    Raises:
        ModelError: the files' digests differ.
    """
    if own != servers:
        raise ModelError(
            f'model.name = "{model.name}": the file has digest {own or "none"} here, {str(servers) or "none"} at the '
            "server: install the same file"
        )


def check_frozen(own: str, servers: object, model: Model, training: Training) -> None:
    """Refuse to train with frozen layers that differ from the server's.

    Raises:
        ModelError: their digests differ.
    """
    if own != servers:
        layers = training.trained_layers
        here, there = own[:12] or "none", str(servers)[:12] or "none"
        raise ModelError(
            f'training.layers = "{layers}": the frozen layers of {model.name} have digest {here} here, {there} at '
            f'the server: install the same file for model.weights = "{model.weights}"'
        )


def check_real(study: Study, number: int) -> None:
    """Refuse a study that simulates what a client with images of its own does not take part in.

    Args:
        study: of the server.
        number: of the client.

    Raises:
        ConfigError: it changes the clients' images or their presence, or this client would attack.
    """
    experiment, own = study.experiment, "but this one has its own images (data-path)"
    if study.site_shifts.lines:
        raise ConfigError(
            f"data.site-shifts = {list(experiment.data.site_shifts)}: it changes the images of simulated clients, "
            f"{own}; take it out"
        )
    if experiment.federation.availability:
        raise ConfigError(
            f"federation.availability = {list(experiment.federation.availability)}: it says when simulated clients "
            f"take part, {own}; take it out"
        )
    if number in study.schedule.malicious:
        raise ConfigError(
            f'poisoning.attack = "{experiment.poisoning.attack}": client {number} would attack, {own}; set "none", and '
            "simulate attacks with fedrobust run"
        )


def _client(study: Study, context: Context, batchnorm: object = None) -> Client:
    number = client_id_of(context.node_config)
    if "data-path" in context.node_config:
        check_real(study, number)
    attacker = None
    if number in study.schedule.malicious:
        steered = replace(study.local_training, update=partial(study.update_of, steered=True))
        attacker = Attacker(
            study.attack,
            study.schedule,
            lambda: study.attack_context(number),
            study.classifier,
            steered if study.attack.steers else None,
            (lambda: study.features) if study.experiment.training.features_are_cached else None,
        )
    images = shard(context.node_config, study.shard, study.problem)
    measure = None
    if batchnorm == "moments":
        sample = calibration_sample(images, study.seed)
        measure = partial(recalibration_of(study.classifier), images=sample.images)
    return Client(
        number,
        images,
        replace(study.local_training, secret=study.dp_sgd is not None and "data-path" in context.node_config),
        study.classifier.layout,
        study.algorithm,
        study.postprocessors,
        attacker,
        measure,
        study.work,
        study.changed(number),
        "data-path" in context.node_config,
    )
