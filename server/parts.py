"""The server's parts of a study, each built once and handed down; a run and the doctor ask for the same ones."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from flwr.serverapp import Grid

from fedrobust.algorithms.contract import sends_of
from fedrobust.data.calibration_sample import calibration_sample
from fedrobust.engines.grid import SimulatedGrid
from fedrobust.errors import ConfigError
from fedrobust.memoize import memoize, part
from fedrobust.models.classifier import Classifier
from fedrobust.models.features import Features
from fedrobust.models.layout import Weights
from fedrobust.models.recalibration import Recalibration
from fedrobust.poisoning import AttackContext, Goal
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.forecast import Forecast
from fedrobust.runs.record import ToleranceRecord
from fedrobust.study import Study
from server.aggregation_step import AggregationStep
from server.callbacks import AttackSuccess, Callback, PGDProbe, UndefendedSnapshot, WorstClient
from server.callbacks.worst_client import class_counts
from server.client_registry import ClientRegistry, registry_of
from server.federation import Federation, whole
from server.forecast import check_aggregation, forecast_of, sums_only
from server.groups import Grouping
from server.rehearsal import rehearse
from server.root_update import root_update_of
from server.rounds import RoundLoop
from server.selection import Selection
from server.stages.audit import Auditor
from server.stages.clients import ClientComparison, LocalBaseline, spread, unchanged
from server.stages.distillation import DistillationPlan, plan_distillation
from server.stages.evaluation import Evaluator
from server.tolerance import tolerance_of
from server.weight_average import WeightAverage

RARE = 0.3
"""Total variation distance to everybody's labels from which on a client's patients are unlike the others'."""

FEWEST_MEASURED = 64
"""Validation images from which on BatchNorm statistics are measured on them unasked."""

MOST_COMPARED = 10_000
"""Clients up to which each one's class mix is looked at."""


@dataclass(frozen=True, eq=False)
class ServerParts:
    """What the server of a study is made of.

    Attributes:
        study: its data, model and settings.
        grid: reaches the clients.
        pool: runs the batches of an evaluation.
    """

    study: Study
    grid: Grid
    pool: ThreadPoolExecutor

    @property
    def workers(self) -> int:
        """Number of clients that are trained in parallel; 0 where the server does not know it."""
        return self.grid.workers if isinstance(self.grid, SimulatedGrid) else 0

    @part
    def initial(self) -> tuple[Classifier, Weights]:
        """The global model, and the weights that it starts from."""
        return self.study.initial()

    @property
    def classifier(self) -> Classifier:
        """The global model as a function of its weights."""
        return self.initial[0]

    # -- Federation ----------------------------------------------------------------------------------------------

    @part
    def class_counts(self) -> np.ndarray | None:
        """How many images of each class each client has, (clients, classes); None for very many clients."""
        if self.study.experiment.federation.clients > MOST_COMPARED:
            return None
        dataset = self.study.dataset
        return class_counts(dataset.train.labels, self.study.partition.shards, dataset.classes)

    @part
    def mixes(self) -> np.ndarray | None:
        """The share of each class among each client's images, (clients, classes); None for very many clients."""
        counts = self.class_counts
        return None if counts is None else counts / counts.sum(axis=1, keepdims=True)

    @part
    def step(self) -> AggregationStep:
        """Turns the replies of a round into the next global weights."""
        study, federation = self.study, self.study.experiment.federation
        return AggregationStep(
            study.defence,
            study.tolerated,
            study.server_optimizer,
            study.attack,
            study.schedule,
            study.seed,
            root_update_of(study.local_training, study.dataset.validation, federation.clients),
            frozenset(
                rare_clients(self.class_counts, study.schedule.malicious) if study.schedule.malicious else ()
            ),
            (federation.aggregator, federation.pre_aggregators),
            study.algorithm,
            study.postprocessors,
            sends_of(study.algorithm, self.classifier.layout),
            federation.clients,
        )

    @part
    def registry(self) -> ClientRegistry:
        """The clients, asked to get ready."""
        study, settings = self.study, self.study.experiment
        return registry_of(
            self.grid,
            study.problem,
            self.classifier.layout,
            settings.federation.clients,
            lambda: study.partition.sizes,
            settings.engine.client_timeout,
        )

    @part
    def federation(self) -> Federation:
        """Samples clients, sends weights, reads replies, aggregates."""
        study, settings = self.study, self.study.experiment
        return Federation(
            settings.federation,
            settings.poisoning,
            self.classifier.layout,
            study.problem,
            self.registry,
            self.step,
            study.seed,
            self.grouping,
            cache(study.trained_part) if study.experiment.training.unfreeze else whole,
        )

    @property
    def grouping(self) -> Grouping:
        """Which clients are asked together: none where others than this project's carry messages or answer them."""
        grid, study = self.grid, self.study
        if not (isinstance(grid, SimulatedGrid) and grid.groups):
            return Grouping()
        return Grouping(study.trains_groups, study.schedule, grid.workers)

    @part
    def tolerance(self) -> ToleranceRecord:
        """The number of attackers that the defence tolerates, and the probability of more in a round."""
        study = self.study
        return tolerance_of(
            study.experiment.federation, study.defence, study.tolerated, len(study.schedule.malicious)
        )

    def check_memory(self) -> None:
        """Refuse a rule whose matrix of clients cannot fit.

        Raises:
            DoesNotFitError: it cannot.
        """
        check_aggregation(self.classifier.layout, self.study.sampled, sums_only(self.step))

    @part
    def forecast(self) -> Forecast:
        """What a round will cost."""
        study = self.study
        return forecast_of(
            study.experiment,
            study.dataset,
            self.federation,
            self.workers,
            self.tolerance,
            None if self.recalibrate is None else self.classifier,
        )

    def rounds(self, folder: RunFolder) -> RoundLoop:
        """Return the round loop of a run in `folder`."""
        settings = self.study.experiment
        return RoundLoop(
            self.grid,
            (self.federation,),
            self.evaluator,
            settings.evaluation,
            self.selection,
            settings.federation.rounds,
            settings.federation.patience,
            settings.engine.client_timeout,
            self.recalibrate,
            self.callbacks(folder),
            WeightAverage(settings.federation.average) if settings.federation.average else None,
        )

    @part
    def selection(self) -> Selection:
        """Which round's model is kept.

        Raises:
            ConfigError: the worst-off client is to decide among clients that are drawn on demand.
        """
        settings = self.study.experiment.evaluation
        if settings.select == "last" or settings.select_by != "worst-client":
            return Selection(settings)
        if self.mixes is None:
            raise ConfigError(
                f'evaluation.select-by = "worst-client": class mixes are known of at most {MOST_COMPARED} clients; '
                'choose "balanced-accuracy", say'
            )
        return Selection(settings, self.mixes)

    @property
    def batchnorm_policy(self) -> str:
        """Where BatchNorm statistics come from, as asked for or as chosen here; "none" for a model without them.

        The mean of several clients' statistics belongs to no weights that exist: with few steps a round, and with
        clients that differ, the model then answers little but one class. Few images measure worse than clients do.
        """
        if not self.classifier.layout.statistics:
            return "none"
        settings = self.study.experiment
        if settings.model.batchnorm_policy != "auto":
            return settings.model.batchnorm_policy
        several = settings.federation.clients > 1
        return (
            "recalibrate" if several and len(self.study.dataset.validation) >= FEWEST_MEASURED else "average"
        )

    @property
    def batchnorm(self) -> str:
        """The policy in words where it was chosen here, "" otherwise."""
        if self.study.experiment.model.batchnorm_policy != "auto":
            return ""
        words = {"recalibrate": "measured on validation images", "average": "averaged"}
        return (
            f", BatchNorm statistics {words[self.batchnorm_policy]}" if self.batchnorm_policy in words else ""
        )

    @part
    def client_comparison(self) -> ClientComparison | None:
        """What measures the models of clients; None where they have none of their own.

        Raises:
            ConfigError: local models are asked for of clients whose images are not here.
        """
        study, wanted = self.study, self.study.experiment.evaluation
        if not wanted.baselines and not hasattr(study.algorithm, "personal"):
            return None
        if not isinstance(self.grid, SimulatedGrid) or self.class_counts is None:
            if not wanted.baselines:
                return None
            raise ConfigError(
                f"evaluation.baselines = {list(wanted.baselines)}: local models are trained in a simulation of at "
                f"most {MOST_COMPARED} clients; leave it out"
            )
        malicious = set(study.schedule.malicious)
        honest = [client for client in range(len(self.class_counts)) if client not in malicious]
        return ClientComparison(
            self.evaluator,
            study.algorithm,
            self.class_counts,
            spread(honest, wanted.clients),
            len(honest),
            self.local_baseline if "local" in wanted.baselines else None,
            unchanged if self.recalibrate is None else self._recalibrated,
        )

    @property
    def local_baseline(self) -> LocalBaseline:
        """Trains clients alone."""
        study, federation = self.study, self.study.experiment.federation
        rounds = range(1, federation.rounds + 1)
        budget = max(1, round(federation.participation * len(rounds)))
        return LocalBaseline(study.local_training, study.shard, self.initial[1], spread(rounds, budget))

    def _recalibrated(self, client: int, weights: Weights) -> Weights:
        sample = calibration_sample(self.study.shard(client), self.study.seed)
        return recalibration_of(self.classifier)(weights, sample.images)

    @part
    def recalibrate(self) -> Callable[[Weights], Weights] | None:
        """What measures BatchNorm statistics on validation images; None where they are the clients' mean."""
        if self.batchnorm_policy != "recalibrate":
            return None
        sample = calibration_sample(self.study.dataset.validation, self.study.seed)
        return partial(recalibration_of(self.classifier), images=sample.images)

    def callbacks(self, folder: RunFolder) -> tuple[Callback, ...]:
        """Return what is done after every round of a run in `folder`."""
        study, training = self.study, self.study.experiment.training
        watched = training.space == study.experiment.evaluation.space
        return (
            WorstClient(self.mixes),
            PGDProbe(self.evaluator, getattr(study.recipe, "epsilon", None) if watched else None),
            AttackSuccess(self.evaluator, self.goal),
            UndefendedSnapshot(self.classifier, folder, training.recipe_from),
        )

    # -- After the rounds ----------------------------------------------------------------------------------------

    @part
    def evaluator(self) -> Evaluator:
        """Measures the global model."""
        study = self.study
        return Evaluator.of(
            study.experiment.evaluation,
            study.threat,
            study.seed,
            study.dataset,
            self.classifier,
            self.pool,
            study.metrics,
            self.features,
        )

    @property
    def features(self) -> Features | None:
        """What the head sees of images, by which the model is measured; None where it sees other images than these."""
        study, training = self.study, self.study.experiment.training
        cached = training.cache_features and training.trained_layers == "head"
        return study.features if cached and study.prediction_defence is None else None

    def rehearse(self) -> None:
        """Make the graphs of training and evaluation ready, side by side."""
        rehearse(self.study, self.evaluator, self.grid, self.pool)

    @part
    def goal(self) -> Goal | None:
        """The test images by which the poisoning attack is judged; None where it has no aim."""
        study = self.study
        return study.attack.goal(
            study.dataset.test, AttackContext(classes=study.dataset.classes, seed=study.seed)
        )

    @part
    def auditor(self) -> Auditor | None:
        """Audits the models; None where the study wants no audit."""
        study, settings = self.study, self.study.experiment
        if not settings.audit.enabled:
            return None
        recipe = settings.training.recipe
        return Auditor(settings.audit, settings.name, recipe, study.threat, study.seed, study.base)

    @part
    def distillation(self) -> DistillationPlan | None:
        """The student, and the images that teach it; None where the study wants none."""
        study, settings = self.study, self.study.experiment
        if not settings.distillation.enabled:
            return None
        return plan_distillation(
            settings.distillation,
            study.dataset,
            study.public,
            settings.export.formats if settings.export.enabled else (),
            settings.model.batchnorm_momentum,
            study.seed,
            study.weights_seed(model=1),
            study.prediction_defence,
        )

    def remarks(self) -> list[str]:
        """Return what a user should know of the poisoning attack before the first round: that it is weak here, say."""
        study = self.study
        malicious, clients = study.schedule.malicious, study.experiment.federation.clients
        if not malicious:
            return []
        context = AttackContext(malicious=len(malicious), clients=clients, sampled=study.sampled)
        return study.attack.remarks(context)

    def summary(self) -> str:
        """Return the study in one line."""
        settings, dataset, partition = self.study.experiment, self.study.dataset, self.study.partition
        malicious = self.study.schedule.malicious
        attacked = f"; {len(malicious)} malicious: {settings.poisoning.attack}" if malicious else ""
        return (
            f"{dataset.name}: {len(dataset.train.labels)} images over {settings.federation.clients} clients "
            f"({settings.data.partition}; {partition.unevenness}), "
            f"{settings.model.name} from {settings.model.weights} weights{self.batchnorm}{attacked}"
        )


@memoize()
def recalibration_of(classifier: Classifier) -> Recalibration:
    """Return what measures BatchNorm's statistics, shared by the studies of a process."""
    return Recalibration(classifier)


def rare_clients(counts: np.ndarray | None, malicious: tuple[int, ...]) -> list[int]:
    """Return the honest clients whose share of each class is far from the whole federation's.

    A rule that rejects outliers may reject them, too: their false positive rate is reported separately.

    Args:
        counts: (clients, classes) images; None where they were not counted.
        malicious: clients that are left out.
    """
    if counts is None:
        return []
    apart = np.abs(counts / counts.sum(1, keepdims=True) - counts.sum(0) / counts.sum()).sum(1) / 2
    return [int(client) for client in np.flatnonzero(apart >= RARE) if client not in set(malicious)]
