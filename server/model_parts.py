"""The server's parts around the global model: evaluator, auditor, distillation; each built once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from flwr.serverapp import Grid

from fedrobust.checks.class_order import renamed
from fedrobust.checks.distillation import faint_teachers
from fedrobust.checks.image_remarks import image_remarks
from fedrobust.checks.unused import told
from fedrobust.config.resolve_training import loss_by_shares
from fedrobust.data.calibration_sample import FEWEST_IMAGES, calibration_sample
from fedrobust.defences.contract import is_learned
from fedrobust.deployment.keys import site_names
from fedrobust.engines.grid import SimulatedGrid
from fedrobust.errors import ConfigError
from fedrobust.evaluation.scores import GRADED
from fedrobust.flower.records import arrays_of
from fedrobust.memoize import part
from fedrobust.models.classifier import Classifier
from fedrobust.models.features import Features
from fedrobust.models.file_network import file_remarks
from fedrobust.models.layout import Weights
from fedrobust.models.recalibration import recalibration_of
from fedrobust.models.statistics_behind_defence import behind_defence
from fedrobust.poisoning import AttackContext, AttackMemory, SuccessCriterion
from fedrobust.poisoning.memory import RECORD
from fedrobust.runs.events import StageStarted, emit
from fedrobust.study import Study
from fedrobust.study.student import student_of
from fedrobust.training.recipes.recipe import shares_statistics
from server.stages.audit import Auditor
from server.stages.distillation import DistillationPlan, plan_distillation
from server.stages.evaluation import Evaluator
from server.stages.fitted_defence import defence_remarks, with_fitted
from server.summary import summary_of


@dataclass(frozen=True, eq=False)
class ModelParts:
    """The global model, its evaluator, and the stages after the rounds.

    Attributes:
        study: its data, model and settings.
        grid: delivers messages to the clients.
        pool: runs the batches of an evaluation.
    """

    study: Study
    grid: Grid
    pool: ThreadPoolExecutor

    @property
    def workers(self) -> int:
        """Number of clients that are trained in parallel; 0 if the server does not know it."""
        return self.grid.workers if isinstance(self.grid, SimulatedGrid) else 0

    @part
    def initial(self) -> tuple[Classifier, Weights]:
        """The global model and its initial weights."""
        return self.study.initial()

    @property
    def classifier(self) -> Classifier:
        """The global model as a function of its weights."""
        return self.initial[0]

    @property
    def batchnorm_policy(self) -> str:
        """The source of BatchNorm statistics: as set, "shared" by a recipe, or chosen by "auto"; "none" without any.

        The mean of several clients' moving statistics fits no weights: with few steps a round and heterogeneous
        clients the model then predicts mostly one class. The server's images are preferred; with few of them the
        clients' moments are better.
        """
        if not self.classifier.layout.statistics:
            return "none"
        settings = self.study.experiment
        if shares_statistics(self.study.recipe):
            return "shared"
        if settings.model.batchnorm_policy != "auto":
            return settings.model.batchnorm_policy
        if settings.federation.clients == 1:
            return "average"
        return "recalibrate" if len(self.study.dataset.validation) >= FEWEST_IMAGES else "moments"

    @property
    def batchnorm(self) -> str:
        """The policy as text if it was chosen by "auto", else ""."""
        if self.study.experiment.model.batchnorm_policy != "auto":
            return ""
        words = {
            "recalibrate": "measured on validation images",
            "moments": "measured by the clients",
            "average": "averaged",
            "shared": "of adversarial images, shared by the clients that measure them",
        }
        return (
            f", BatchNorm statistics {words[self.batchnorm_policy]}" if self.batchnorm_policy in words else ""
        )

    @property
    def measures_statistics(self) -> bool:
        """Whether BatchNorm statistics are measured anew for each global model, by the server or by clients."""
        return self.batchnorm_policy in ("recalibrate", "moments")

    @part
    def recalibrate(self) -> Callable[[Weights], Weights] | None:
        """The recalibration on validation images; None if the clients' statistics are averaged."""
        if self.batchnorm_policy != "recalibrate":
            return None
        sample = calibration_sample(self.study.dataset.validation, self.study.seed)
        return partial(recalibration_of(self.classifier), images=sample.images)

    def recalibrated_locally(self, client: int, weights: Weights) -> Weights:
        """Return a client's own model, with BatchNorm statistics of its images if the study measures them."""
        if not self.measures_statistics:
            return weights
        sample = calibration_sample(self.study.shard(client), self.study.seed)
        return recalibration_of(self.classifier)(weights, sample.images)

    @part
    def evaluator(self) -> Evaluator:
        """The evaluator of the global model; of models of rounds, behind a defence that is not learned."""
        study = self.study
        found = Evaluator.of(
            study.experiment.evaluation,
            study.threat,
            study.seed,
            study.dataset,
            self.classifier,
            self.pool,
            study.metrics | (GRADED if study.dataset.ordinal else {}),
            self.features,
            study.evasion,
        )
        if study.prediction_defence is None or is_learned(study.prediction_defence):
            return found
        return replace(found, adapt=partial(self.behind, self.classifier))

    @property
    def features(self) -> Features | None:
        """The head's input features of evaluation images; None if evaluation needs the whole network."""
        study, training = self.study, self.study.experiment.training
        cached = training.cache_features and training.trained_layers == "head"
        return study.features if cached and study.prediction_defence is None else None

    @part
    def undefended(self) -> Evaluator:
        """The evaluator of models as clients train them: without a prediction-time defence."""
        if self.classifier.defence is None:
            return self.evaluator.bare
        return self.evaluator.of_model(self.classifier.with_defence(None))

    def defended(self, evaluator: Evaluator, weights: Weights) -> tuple[Evaluator, Weights]:
        """Return evaluator and weights of a model behind the study's prediction-time defence; the same without one.

        A learned defence is fitted to the model. BatchNorm's statistics are moved as the defence moves those of
        validation images.

        Args:
            evaluator: of the global model or the student.
            weights: of that model.
        """
        study = self.study
        if study.prediction_defence is None:
            return evaluator, weights
        if is_learned(study.prediction_defence):
            emit(StageStarted(f"fitting the prediction-time defence {study.experiment.model.defence}"))
            evaluator = with_fitted(evaluator, weights, study.prediction_defence, study.seed)
        return evaluator.bare, self.behind(evaluator.classifier, weights)

    def behind(self, classifier: Classifier, weights: Weights) -> Weights:
        """Return weights that were trained without the defence of `classifier`, with the statistics behind it."""
        if self.study.prediction_defence is None:
            return weights
        sample = calibration_sample(self.study.dataset.validation, self.study.seed)
        return behind_defence(classifier, weights, sample.images)

    @part
    def criterion(self) -> SuccessCriterion | None:
        """The success criterion of the poisoning attack on the test images; None for an untargeted attack."""
        study = self.study
        return study.attack.criterion(
            study.dataset.test, AttackContext(classes=study.dataset.classes, seed=study.seed)
        )

    @property
    def learnt_criterion(self) -> Callable[[], SuccessCriterion | None] | None:
        """The success criterion with the trigger that the first malicious client has learnt so far, as a function.

        None for attacks whose trigger is fixed. In a simulation the server's record sees the client's memory.

        Raises:
            ConfigError: the attack learns its trigger, and the clients are not in this simulation.
        """
        study, grid = self.study, self.grid
        if not study.attack.adapts:
            return None
        if not isinstance(grid, SimulatedGrid):
            raise ConfigError(
                f'poisoning.attack = "{study.experiment.poisoning.attack}": its trigger is learnt by malicious '
                "clients, which do not show it to a server: success is measured in a simulation only; choose an attack "
                "with a fixed trigger, such as pixel-backdoor"
            )

        def criterion() -> SuccessCriterion | None:
            records = (grid.client_state(client).array_records for client in study.schedule.malicious)
            kept = [AttackMemory.of(arrays_of(each[RECORD])) for each in records if RECORD in each]
            # A client that was asked in a round without an attack remembers that round, and has learnt no trigger.
            memory = next((each for each in kept if each.own), AttackMemory())
            context = AttackContext(classes=study.dataset.classes, seed=study.seed, memory=memory)
            return study.attack.criterion(study.dataset.test, context)

        return criterion

    @part
    def auditor(self) -> Auditor | None:
        """The auditor of the models; None without an audit."""
        study, settings = self.study, self.study.experiment
        if not settings.audit.enabled:
            return None
        recipe = settings.training.recipe
        return Auditor(
            settings.audit,
            settings.name,
            recipe,
            study.threat,
            study.seed,
            study.base,
            study.detector,
            settings.model.detector_rate,
            settings.training.recipe_from,
        )

    @part
    def distillation(self) -> DistillationPlan | None:
        """The plan of the distillation; None without one."""
        study, settings = self.study, self.study.experiment
        if not settings.distillation.enabled:
            return None
        teacher = settings.distillation.teacher
        if teacher in ("local-models", "class-logits") and not isinstance(self.grid, SimulatedGrid):
            raise ConfigError(
                f'distillation.teacher = "{teacher}": the clients\' own models are trained in a simulation, where '
                'their images are; choose "global-model" or "clients"'
            )
        return plan_distillation(
            settings.distillation,
            study.dataset,
            study.public,
            settings.export.formats if settings.export.enabled else (),
            student_of(study),
            study.seed,
            study.distillation_method,
            settings.training.class_weights == "balanced",
            loss_by_shares(settings.training, settings.base, study.dataset.multilabel),
        )

    def remarks(self) -> list[str]:
        """Return sentences on images, unused settings, defence and attack before the first round."""
        study, settings = self.study, self.study.experiment
        malicious, clients = study.schedule.malicious, settings.federation.clients
        said = [
            *image_remarks(study, divided=site_names() is None),
            *told(settings),
            *faint_teachers(settings.distillation, settings.training, settings.federation.rounds),
            *defence_remarks(study),
        ]
        if study.detector is not None:
            said.append(
                f'model.detector = "{settings.model.detector}": it is fitted after the last round, to the '
                "global model; figures of rounds, the student and exported files are of models without it, which "
                "answer every image"
            )
        if not malicious:
            return said
        context = AttackContext(malicious=len(malicious), clients=clients, sampled=study.sampled)
        return [*said, *study.attack.remarks(context)]

    def network_remarks(self) -> list[str]:
        """Return what of the file that the network is in is not used or is assumed, in sentences."""
        if not self.study.network_digest:
            return []
        model, shape = self.study.model, self.initial[0].preparation.prepared
        classes = self.study.problem.classes
        settings, data = self.study.experiment.model, self.study.experiment.data
        return [
            *file_remarks(model.name, shape, classes, model.weights, model.head, model.scaling),
            *renamed(settings, self.study.dataset, self.study.base, data.root),
        ]

    def summary(self) -> str:
        """Return the study in one line."""
        return summary_of(self.study, self.batchnorm)

    @property
    def probed(self) -> float | None:
        """The epsilon of a short attack after each round, the recipe's; None without, or if it is in another space."""
        settings = self.study.experiment
        epsilon = getattr(self.study.recipe, "epsilon", None)
        return epsilon if settings.training.space == settings.evaluation.space else None
