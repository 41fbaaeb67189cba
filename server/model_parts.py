"""What a server measures and makes of a study's global model, each part built once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from flwr.serverapp import Grid

from fedrobust.data.calibration_sample import calibration_sample
from fedrobust.engines.grid import SimulatedGrid
from fedrobust.memoize import part
from fedrobust.models.classifier import Classifier
from fedrobust.models.features import Features
from fedrobust.models.layout import Weights
from fedrobust.models.recalibration import recalibration_of
from fedrobust.poisoning import AttackContext, SuccessCriterion
from fedrobust.study import Study
from server.stages.audit import Auditor
from server.stages.distillation import DistillationPlan, plan_distillation
from server.stages.evaluation import Evaluator

FEWEST_MEASURED = 64
"""Validation images from which on BatchNorm statistics are measured on them unasked."""


@dataclass(frozen=True, eq=False)
class ModelParts:
    """The global model, what measures it, and what becomes of it after the rounds.

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

    @property
    def batchnorm_policy(self) -> str:
        """Where BatchNorm statistics come from, as asked for or as chosen here; "none" for a model without them.

        The mean of several clients' moving statistics belongs to no weights that exist: with few steps a round, and
        with clients that differ, the model then answers little but one class. The server's images measure best, few
        of them worse than the clients do together.
        """
        if not self.classifier.layout.statistics:
            return "none"
        settings = self.study.experiment
        if settings.model.batchnorm_policy != "auto":
            return settings.model.batchnorm_policy
        if settings.federation.clients == 1:
            return "average"
        return "recalibrate" if len(self.study.dataset.validation) >= FEWEST_MEASURED else "moments"

    @property
    def batchnorm(self) -> str:
        """The policy in words where it was chosen here, "" otherwise."""
        if self.study.experiment.model.batchnorm_policy != "auto":
            return ""
        words = {
            "recalibrate": "measured on validation images",
            "moments": "measured by the clients",
            "average": "averaged",
        }
        return (
            f", BatchNorm statistics {words[self.batchnorm_policy]}" if self.batchnorm_policy in words else ""
        )

    @part
    def recalibrate(self) -> Callable[[Weights], Weights] | None:
        """What measures BatchNorm statistics on validation images; None where they are the clients' mean."""
        if self.batchnorm_policy != "recalibrate":
            return None
        sample = calibration_sample(self.study.dataset.validation, self.study.seed)
        return partial(recalibration_of(self.classifier), images=sample.images)

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

    @part
    def criterion(self) -> SuccessCriterion | None:
        """The test images by which the poisoning attack is judged; None where it has no aim."""
        study = self.study
        return study.attack.criterion(
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
