"""The forecast of a study's time and memory, from its settings and from trial steps of its clients."""

from collections.abc import Sequence

import numpy as np

from fedrobust.aggregation import streams
from fedrobust.algorithms.contract import passes_of
from fedrobust.config import Experiment
from fedrobust.config.resolve_training import recipe_of
from fedrobust.config.sections import Engine
from fedrobust.cores import cores
from fedrobust.data.calibration_sample import MOST_IMAGES, calibration_count
from fedrobust.data.dataset import Dataset
from fedrobust.edge.formats import FORMATS
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Layout
from fedrobust.models.recalibration import recalibration_bytes
from fedrobust.runs.checkpoint import KEPT
from fedrobust.runs.forecast import Forecast, aggregation_bytes, available_memory, check_memory, makespan
from fedrobust.runs.record import ToleranceRecord
from fedrobust.training.calibration import peak_memory
from fedrobust.training.recipes.recipe import passes_of_batch
from server.aggregation_step import AggregationStep
from server.federation import Federation


def evaluation_threads(engine: Engine) -> int:
    """Return the number of batches that the server evaluates in parallel: that of clients, or one for each core."""
    return (engine.workers if engine.name == "threads" else 0) or cores()


def check_aggregation(layout: Layout, clients: int, sums: bool) -> None:
    """Refuse a rule whose matrix of updates does not fit into memory, before anything is compiled.

    Args:
        layout: of the global model.
        clients: clients in a round.
        sums: whether updates are summed as they arrive.

    Raises:
        DoesNotFitError: it does not fit.
    """
    matrix = aggregation_bytes(layout.parameters + layout.statistics, clients, sums)
    check_memory(matrix, matrix, available_memory(), clients)


def sums_only(step: AggregationStep) -> bool:
    """Return whether updates are summed as they arrive, so that they are not all in memory."""
    defence = step.defence
    return streams(defence.rule) and not defence.before and not step.measured


def forecast_of(
    experiment: Experiment,
    dataset: Dataset,
    federation: Federation,
    workers: int,
    tolerance: ToleranceRecord,
    batchnorm: str,
    classifier: Classifier,
) -> Forecast:
    """Return the forecast of a round, from the trial steps of the clients.

    Args:
        experiment: the study's settings.
        dataset: the evaluation images.
        federation: with its registered clients.
        workers: clients trained in parallel; 0: all, each on its own machine.
        tolerance: the study's, which is shown beside the costs.
        batchnorm: the policy of BatchNorm statistics; measuring them costs a forward pass.
        classifier: the global model.
    """
    registry, layout, training = federation.registry, federation.layout, experiment.training
    sampled = registry.largest_first(
        federation.sampling.typical(federation.sampling.fullest_round(experiment.federation.rounds))
    )
    sizes = registry.sizes[np.searchsorted(registry.client_ids, sampled)]
    images = sizes * (1 + experiment.data.augment)
    algorithm, beside = federation.step.algorithm, federation.step.beside
    steps = passes_of(algorithm, training.epochs) * -(-images // training.batch_size)
    numbers = layout.parameters + layout.statistics + sum(beside.values())
    matrix = aggregation_bytes(numbers, len(sampled), sums_only(federation.step))
    # A forward pass is about a third of a plain step, whatever the recipe adds to it; the sweep over epsilons takes one
    # each, the clean one, and a gradient.
    forwards = 1 + 3 + len(experiment.evaluation.epsilons)
    plain_seconds = registry.step_seconds / passes_of_batch(recipe_of(training, experiment.base))
    image_seconds = plain_seconds / training.batch_size / 3
    threads = evaluation_threads(experiment.engine)
    processes = workers if experiment.engine.name == "ray" and not experiment.engine.address else 0
    # At most two replies for each worker are in transit.
    messages = 2 * (workers or len(sampled)) * 4 * numbers
    settings, rounds = experiment.evaluation, experiment.federation.rounds
    recalibrated, after = 0, 0
    if experiment.distillation.enabled and experiment.export.enabled:
        after = int8_bytes(experiment.export.formats, dataset)
    if batchnorm == "recalibrate":
        recalibrated = calibration_count(dataset.validation)
        after = max(after, recalibration_bytes(classifier, recalibrated))
    # A rule that asks models does so after the last reply.
    rule = getattr(federation.step.defence.rule, "passes", None)
    passes = 0 if rule is None else int(rule(len(sampled)))
    seconds = steps * registry.step_seconds
    if batchnorm == "moments":
        seconds = seconds + np.minimum(sizes, MOST_IMAGES) * image_seconds
    return Forecast(
        rounds=rounds,
        evaluations=-(-rounds // settings.every),
        workers=workers or len(sampled),
        step_seconds=registry.step_seconds,
        parameters=layout.parameters,
        message_bytes=4 * numbers,
        clients=len(sampled),
        steps=int(steps.sum()),
        training_seconds=makespan(seconds, workers or len(sampled))
        + recalibrated * image_seconds
        + passes * image_seconds / threads,
        rule_passes=passes,
        disk_bytes=disk_bytes(4 * (layout.parameters + layout.statistics), 4 * classifier.parameters),
        evaluation_seconds=len(dataset.test) * forwards * image_seconds / threads,
        memory_bytes=peak_memory() + processes * registry.memory_bytes + max(matrix + messages, after),
        matrix_bytes=matrix,
        available_bytes=available_memory(),
        tolerance=tolerance,
    )


def disk_bytes(weights: int, file: int) -> int:
    """Return the most that a run's folder takes, in bytes: the model's file, and `KEPT` checkpoints and a draft.

    Args:
        weights: bytes of the weights that clients send; a checkpoint has those of the round and the selected ones.
        file: bytes of all weights of the model.

    Example:
        >>> disk_bytes(weights=4_000, file=9_000_000)
        9024000
    """
    return file + 2 * (KEPT + 1) * weights


def int8_bytes(formats: Sequence[str], dataset: Dataset) -> int:
    """Return the memory of the calibration images of int8 exports, in bytes; 0 without such an export.

    There are three float32 copies: the images, the checked images, and those extended to the range [0, 1].
    """
    if not any(FORMATS[name].calibrated for name in formats):
        return 0
    return 3 * 4 * calibration_count(dataset.validation) * int(np.prod(dataset.image_shape))
