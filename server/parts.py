"""The server's parts of a study, each built once, for a run and for the doctor."""

from dataclasses import dataclass
from functools import cache

from fedrobust.algorithms.contract import sends_of
from fedrobust.engines.grid import SimulatedGrid
from fedrobust.errors import ConfigError
from fedrobust.memoize import part
from fedrobust.models.recalibration import recalibration_of
from fedrobust.randomness import noise_seed
from fedrobust.runs.checkpoint import Checkpoint
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.forecast import Forecast
from fedrobust.runs.record import ToleranceRecord
from server.aggregation_step import AggregationStep
from server.attack_objective import AttackObjective, objective_of
from server.baseline_parts import MOST_COMPARED, BaselineParts
from server.callbacks import (
    AttackSuccess,
    Callback,
    KeptRound,
    PGDProbe,
    PrivacySpent,
    UndefendedSnapshot,
    WorstClient,
)
from server.client_images import sizes
from server.client_registry import ClientRegistry, registry_of
from server.federation import Federation, whole
from server.forecast import check_aggregation, forecast_of, sums_only
from server.groups import Grouping
from server.image_promises import ImagePromises
from server.model_answers import StudyAnswers
from server.rare_clients import rare_clients
from server.rehearsal import rehearse
from server.root_update import root_update_of
from server.rounds import RoundLoop
from server.sampling import Sampling
from server.selection import PROBED, Selection
from server.tolerance import tolerance_of


@dataclass(frozen=True, eq=False)
class ServerParts(BaselineParts):
    """The parts of a study's server.

    See `ModelParts` for its attributes.
    """

    @part
    def step(self) -> AggregationStep:
        """The aggregation step."""
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
            self.classifier.layout,
            lambda current: StudyAnswers(self.undefended, current, study.seed, self.recalibrate),
            self.batchnorm_policy == "moments",
            study.promise is not None and not isinstance(self.grid, SimulatedGrid),
            federation.secure_aggregation,
            cache(self.objective),
            study.experiment.poisoning.knowledge == "own",
            noise_seed(study.seed, study.experiment.data.train_share, study.experiment.data.train_draw),
        )

    def objective(self) -> AttackObjective | None:
        """Return the objective of colluding clients, on images that only a simulation shows; None without any."""
        study = self.study
        if not isinstance(self.grid, SimulatedGrid):
            return None
        own = [study.shard(client) for client in study.schedule.malicious]
        measured = recalibration_of(self.classifier) if self.measures_statistics else None
        return objective_of(study.attack, self.undefended, own, study.problem.classes, study.seed, measured)

    @part
    def registry(self) -> ClientRegistry:
        """The registry of prepared clients."""
        study, settings = self.study, self.study.experiment
        return registry_of(
            self.grid,
            study.problem,
            self.classifier.layout,
            settings.federation.clients,
            lambda: sizes(study),
            settings.engine.client_timeout,
            self.next_round,
        )

    @property
    def next_round(self) -> int:
        """The round with which a run at nodes begins, or goes on; for simulated clients it does not matter: 1.

        Raises:
            RunFolderError: the run that is resumed has no checkpoint.
        """
        output = self.study.experiment.output
        if isinstance(self.grid, SimulatedGrid) or not output.resume:
            return 1
        return Checkpoint.latest(RunFolder.open(output.dir)).round + 1

    @part
    def federation(self) -> Federation:
        """The federation: messages, replies, aggregation."""
        study, settings = self.study, self.study.experiment
        return Federation(
            settings.federation,
            settings.poisoning,
            self.classifier.layout,
            study.problem,
            self.registry,
            self.sampling,
            self.step,
            study.seed,
            self.grouping,
            cache(study.trained_part) if study.experiment.training.unfreeze else whole,
            self.batchnorm_policy,
        )

    @property
    def sampling(self) -> Sampling:
        """The sampling of clients."""
        study = self.study
        federation = study.experiment.federation
        return Sampling(federation, self.registry, study.seed, study.availability, self.step.secret)

    @property
    def grouping(self) -> Grouping:
        """The grouping of clients; none on Flower's own grids, or with another client app."""
        grid, study = self.grid, self.study
        if not (isinstance(grid, SimulatedGrid) and grid.groups):
            return Grouping()
        remembering = frozenset(study.schedule.malicious if study.attack.remembers else ())
        return Grouping(study.trains_groups, study.schedule, grid.workers, remembering)

    @part
    def tolerance(self) -> ToleranceRecord:
        """The number of attackers that the defence tolerates, and the probability of more in a round."""
        study = self.study
        return tolerance_of(
            study.experiment.federation,
            study.defence,
            study.tolerated,
            study.schedule.malicious,
            study.availability,
        )

    def check_memory(self) -> None:
        """Refuse a rule whose matrix of updates does not fit into memory.

        Raises:
            DoesNotFitError: it does not fit.
        """
        check_aggregation(self.classifier.layout, self.study.sampled, sums_only(self.step))

    @part
    def forecast(self) -> Forecast:
        """The forecast of a round's time and memory."""
        study = self.study
        return forecast_of(
            study.experiment,
            study.dataset,
            self.federation,
            self.workers,
            self.tolerance,
            self.batchnorm_policy,
            self.classifier,
        )

    def rounds(self, folder: RunFolder, repeated: int = 0, spent: float = 0.0) -> RoundLoop:
        """Return the round loop of a run in `folder`; see `PrivacySpent` for what a resumed run has spent before."""
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
            self.callbacks(folder, repeated, spent),
            self.weight_average,
            settings.federation.non_finite == "stop",
        )

    @part
    def selection(self) -> Selection:
        """The selection of the round whose model is kept.

        Raises:
            ConfigError: the worst-off client is to select, but clients are drawn on demand; or the robust accuracy,
                but no recipe has an epsilon in the space of the evaluation.
        """
        settings = self.study.experiment.evaluation
        if settings.select == "best" and settings.select_by in PROBED and self.probed is None:
            training = self.study.experiment.training
            raise ConfigError(
                f'evaluation.select-by = "{settings.select_by}" with training.recipe = "{training.recipe}" and spaces '
                f'"{training.space}" (training) and "{settings.space}" (evaluation): the attack takes its epsilon from '
                'an adversarial recipe in the same space; choose one, such as "pgd", or another figure, such as "auc"'
            )
        first = self.study.experiment.training.recipe_from
        if settings.select == "last" or settings.select_by != "worst-client":
            return Selection(settings, first=first)
        if self.mixes is None:
            raise ConfigError(
                f'evaluation.select-by = "worst-client": class mixes are known of at most {MOST_COMPARED} clients; '
                'choose "balanced-accuracy", say'
            )
        return Selection(settings, self.mixes, first)

    @property
    def attack_success(self) -> AttackSuccess:
        """The measurement of the attack's success."""
        return AttackSuccess(self.evaluator, self.criterion, self.learnt_criterion)

    def callbacks(self, folder: RunFolder, repeated: int = 0, spent: float = 0.0) -> tuple[Callback, ...]:
        """Return the callbacks of a run in `folder`."""
        return (
            WorstClient(self.mixes),
            PGDProbe(self.evaluator, self.probed),
            self.attack_success,
            UndefendedSnapshot(self.classifier, folder, self.study.experiment.training.recipe_from),
            self.privacy_spent(repeated, spent),
            self.kept_round(folder),
        )

    def kept_round(self, folder: RunFolder) -> KeptRound:
        """Return what keeps the global models of some rounds in `folder`."""
        settings = self.study.experiment
        return KeptRound(folder, settings.output.keep_every, settings.federation.rounds)

    def privacy_spent(self, repeated: int = 0, before: float = 0.0) -> PrivacySpent:
        """Return the measurement of epsilon after each round, of the first promise; see `PrivacySpent`."""
        experiment, promise = self.study.experiment, self.study.promise
        if promise is None and self.image_promises:
            promise = self.image_promises.worst
        delta, rounds = experiment.privacy.delta, experiment.federation.rounds
        return PrivacySpent(promise, delta, rounds, repeated, before)

    @part
    def image_promises(self) -> ImagePromises | None:
        """What each client promises to its images; None without DP-SGD."""
        study, here = self.study, isinstance(self.grid, SimulatedGrid)
        if study.dp_sgd is None:
            return None
        known = sizes(study) if here else self.registry.sizes
        clients = range(len(known)) if here else self.registry.client_ids
        return ImagePromises(study.dp_sgd, dict(zip(map(int, clients), map(int, known), strict=True)))

    def rehearse(self) -> None:
        """Trace and optimise the graphs of training and evaluation, in parallel."""
        rehearse(self.study, self.evaluator, self.grid, self.pool)
