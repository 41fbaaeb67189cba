"""What a run was made of, and what came after its rounds, as ``result.json`` holds it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fedrobust.data.problem import is_multilabel
from fedrobust.edge.formats import FORMATS
from fedrobust.runs.codec import entry, record
from fedrobust.runs.record.card import CardRecord
from fedrobust.runs.record.metrics import EvaluationRecord, Interval, MetricsRecord
from fedrobust.runs.record.predictions import PredictionsRecord

if TYPE_CHECKING:
    from fedrobust.edge.result import EdgeResult


@record
class ToleranceRecord:
    """The number of malicious clients that the rule tolerates, and the probability of more in a round."""

    clients: int | None = entry("the number that is tolerated", default=None)
    source: str = entry(
        "``given`` by the study, or ``truth``: an oracle, which no server has", default="given"
    )
    quantile: float | None = entry("of the number in a round, where the study asks for one", default=None)
    given: bool = entry("whether the rule or a pre-aggregator takes this number", default=True, key="told")
    sampled: int | None = entry("clients of a round", default=None)
    malicious: int = entry("malicious clients of the study", default=0)
    population: int | None = entry("all clients of the study", default=None)
    probability_of_more: float | None = entry(
        "that a round samples more of the malicious; null without attackers", default=None
    )

    @property
    def oracle(self) -> bool:
        """Whether the rule was given the true number."""
        return self.given and self.source == "truth"


@record
class ForecastRecord:
    """What a study was going to cost."""

    rounds: int = entry("of the study")
    evaluations: int = entry("how many of them are evaluated")
    workers: int = entry("clients trained at a time")
    step_seconds: float = entry("one optimisation step on a full batch, with as many at a time as workers")
    parameters: int = entry("trainable numbers of the model")
    message_bytes: int = entry("one message, in either direction")
    clients: int = entry("how many are trained in a round")
    steps: int = entry("optimisation steps of all of them together")
    training_seconds: float = entry("from the first message to the new global model")
    evaluation_seconds: float = entry("one evaluation")
    rule_passes: int = entry(
        "images that the aggregation rule passes through models in a round; their time is in ``training-seconds``",
        default=0,
    )
    disk_bytes: int = entry(
        "the most that the run's folder takes while it runs: model and checkpoints, without an export",
        default=0,
    )
    memory_bytes: int = entry(
        "the most that the server's process and its workers hold at once, on this machine"
    )
    matrix_bytes: int = entry("the part of it that the aggregation rule needs")
    available_bytes: int = entry(
        "what the machine has free for it, including what these processes already hold"
    )
    tolerance: ToleranceRecord | None = entry("as in ``result.json``", default=None)


@record
class ConversionRecord:
    """How an import made the images of a study, so that new ones are converted alike."""

    fit: str | None = entry('"pad" or "crop" of images that are not square', default=None, left_out=True)
    window: tuple[float, float] | None = entry(
        "values of black and white of pixels deeper than 8 bits and of DICOM files, where they were named",
        default=None,
        left_out=True,
    )
    white: float | None = entry(
        "value that is white in images deeper than 8 bits, where no window was named",
        default=None,
        left_out=True,
    )


@record
class DatasetRecord:
    """The images of a study."""

    name: str = entry("of the data set", default="")
    source: str = entry("where it is from", default="")
    licence: str = entry("of the images", default="")
    digest: str = entry("SHA-256 of images and labels", default="")
    task: str = entry("as MedMNIST calls it", default="")
    labels: tuple[str, ...] = entry("names of the classes or findings", default=())
    disease: tuple[int, ...] = entry("the classes that mean disease", default=())
    image_shape: tuple[int, ...] = entry("height, width, channels", default=())
    samples: Mapping[str, int] = entry("``train``, ``validation``, ``test`` -> images", default_factory=dict)
    counts: Mapping[str, tuple[int, ...]] = entry("the same by class or finding", default_factory=dict)
    conversion: ConversionRecord | None = entry(
        "how an import made them, where the file tells", default=None, left_out=True
    )

    @property
    def multilabel(self) -> bool:
        """Whether an image may have several findings, or none."""
        return is_multilabel(self.task)


@record
class ModelRecord:
    """The global model."""

    name: str = entry("of the network", default="")
    parameters: int | None = entry("trainable numbers", default=None)
    weights: str = entry("initial weights", default="")
    image_size: int | None = entry("side of the images that it sees", default=None)
    batchnorm: str | None = entry(
        "where BatchNorm statistics came from: average, recalibrate, moments, frozen, shared, none",
        default=None,
        left_out=True,
    )
    network_digest: str | None = entry(
        "first digits of the SHA-256 of the Keras file that the network is in", default=None, left_out=True
    )
    selected_round: int | None = entry("the round whose model is kept", default=None)
    digest: str | None = entry("SHA-256 of the selected weights", default=None, left_out=True)


@record
class DistillationRecord:
    """How a student was taught."""

    images: int | None = entry("images that it learnt from", default=None)
    copies: int = entry("augmented copies of each, with the teacher's logits", default=0, left_out=True)
    source: str = entry("what they are", default="")
    method: str = entry("as in the study", default="soft-labels", left_out=True)
    teacher: str = entry("as in the study", default="global-model", left_out=True)
    models: int = entry("whose mean logits taught it", default=1, left_out=True)
    sent_bytes: int | None = entry(
        "what a client sends for it: its model, or its logits of all images and copies; left out where it is nothing",
        default=None,
        left_out=True,
    )
    epochs: int | None = entry("passes over them", default=None)
    steps: float | None = entry("optimisation steps", default=None)
    temperature: float | None = entry("of the softmax; null where the method has none", default=None)
    loss: float | None = entry("of the last epoch", default=None)
    seconds: float | None = entry("that it took", default=None)


@record
class StudentRecord(EvaluationRecord):
    """The distilled student."""

    name: str = entry("of the network", default="")
    parameters: int | None = entry("trainable numbers", default=None)
    distillation: DistillationRecord = entry("how it was taught", default_factory=DistillationRecord)
    control: EvaluationRecord | None = entry(
        "the same network, trained on the labels of the same images in as many steps; left out where they have none",
        default=None,
        left_out=True,
    )
    audit: CardRecord | None = entry("its audit, the content of ``card-student.json``", default=None)
    predictions: PredictionsRecord | None = entry("as that of the global model", default=None, left_out=True)


@record
class LatencyRecord:
    """How long one image takes, in milliseconds."""

    p50: float | None = entry("median", default=None)
    p95: float | None = entry("95th percentile", default=None)
    threads: int | None = entry("of one inference", default=None)
    runs: int | None = entry("that were timed", default=None)


@record
class ExportRecord:
    """One exported file."""

    format: str = entry("how its numbers are kept", default="", choices=tuple(FORMATS))
    file: str = entry("its name", default="")
    bytes: int | None = entry("its size", default=None)
    accuracy: float | None = entry("as in its METRICS", default=None)
    interval: Interval | None = entry("of the accuracy, as in its METRICS", default=None)
    agreement: float | None = entry(
        "share of images with the same prediction as the Keras model", default=None
    )
    changed: int | None = entry("number of the other images", default=None, left_out=True)
    peak_bytes: int | None = entry(
        "what it adds to a process' memory while it classifies one image", default=None, left_out=True
    )
    alarm: str | None = entry(
        "why it is not the same model: it changes too many answers", default=None, left_out=True
    )
    taken: bool | None = entry("whether it is the file to take, of all", default=None, left_out=True)
    latency: LatencyRecord = entry("of one image", key="latency_ms", default_factory=LatencyRecord)
    metrics: MetricsRecord | None = entry("METRICS of the file's outputs", default=None)

    @classmethod
    def of(cls, result: "EdgeResult", alarm: str = "", taken: bool | None = None) -> "ExportRecord":
        """Return what was measured as it is recorded.

        Args:
            result: what was measured.
            alarm: see `fedrobust.edge.choice.alarm`.
            taken: whether it is the file to take.
        """
        latency, metrics = result.latency, MetricsRecord.of(result.metrics)
        return cls(
            format=result.format,
            file=result.file,
            bytes=result.bytes,
            accuracy=metrics.accuracy,
            interval=metrics.interval.accuracy,
            agreement=result.agreement,
            changed=result.changed,
            peak_bytes=result.peak_bytes,
            alarm=alarm or None,
            taken=taken,
            latency=LatencyRecord(
                p50=latency.p50, p95=latency.p95, threads=latency.threads, runs=latency.runs
            ),
            metrics=metrics,
        )
