"""`Experiment`: one typed description of a study, as a TOML file, as keyword arguments, and as Flower's run config.

Keys are kebab-case in files (``batch-size``); ``_`` is accepted for ``-``. Everything is checked here, before
anything starts.
"""

import copy
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import pydantic
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fedrobust.epsilon import epsilon_value as epsilon_value
from fedrobust.epsilon import shortened
from fedrobust.errors import ConfigError as ConfigError
from fedrobust.errors import FedrobustError
from fedrobust.registry import did_you_mean, known_as
from fedrobust.spec import Spec, split_sum
from fedrobust.study_file import MOST_PARTS, read_study_file, toml_value


def _checked_epsilon(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError('an epsilon is a number or a fraction such as "8/255"')
    if epsilon_value(value) <= 0:
        raise ValueError("an epsilon is above 0")
    return value


Epsilon = Annotated[float | str, BeforeValidator(_checked_epsilon)]
"""How far an attacker may go; how far there is to go depends on the norm."""


def _within_pixels(epsilon: float | str) -> float | str:
    if epsilon_value(epsilon) > 1:
        raise ValueError("an epsilon lies in (0, 1]: pixels do")
    return epsilon


PixelEpsilon = Annotated[Epsilon, AfterValidator(_within_pixels)]

MOST_CLIENTS = 1_000_000
MOST_ROUNDS = 1_000_000
MOST_IMAGES = 1_000_000
MOST_WORKERS = 4096
MOST_BATCH = 65_536
LARGEST = 3.4028234663852886e38
"""The largest float32: learning rates and the like are numbers of a graph."""


class Section(BaseModel):
    """A table of the study file."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=lambda name: name.replace("_", "-"),
        populate_by_name=True,
        validate_default=True,
        strict=True,
        allow_inf_nan=False,
    )


class Data(Section):
    """Which images, and how the training split is divided among clients."""

    name: str = Field("phantom", description="a MedMNIST 2-D set, phantom, or the path of an .npz file")
    size: Literal[28, 64, 128, 224] = Field(28, description="side of MedMNIST and phantom images in pixels")
    root: str = Field("", description="folder to look in first; then $FEDROBUST_DATA, then ~/.medmnist")
    partition: Literal["iid", "dirichlet", "shards", "pathological", "quantity", "draw"] = Field(
        "iid", description="how the training split is divided"
    )
    alpha: float = Field(
        0.5,
        gt=0,
        le=1e9,
        description="dirichlet: concentration of each class over clients; draw: of each client over classes",
    )
    min_size: int = Field(10, ge=1, le=MOST_IMAGES, description="dirichlet: fewest images of a client")
    shards_per_client: int = Field(
        2, ge=1, le=MOST_IMAGES, description="shards: label-sorted pieces a client gets"
    )
    classes_per_client: int = Field(2, ge=1, description="pathological: classes a client has")
    images_per_client: int = Field(
        40, ge=1, le=MOST_IMAGES, description="draw: images a client draws; others may draw them, too"
    )
    skew: Literal["linear", "square", "exponential"] = Field(
        "linear", description="quantity: growth of shards"
    )
    undersample: bool = Field(
        False, description="leave images of frequent classes out, until a client has as many of each"
    )
    augment: int = Field(
        0,
        ge=0,
        le=100,
        description="turned, shifted, sheared, zoomed and flipped copies added of every image",
    )
    classes: int = Field(2, ge=2, le=8, description="phantom: number of classes")
    channels: Literal[1, 3] = Field(1, description="phantom: grey or colour")
    samples: int = Field(2000, ge=50, le=1_000_000, description="phantom: training images")


class Model(Section):
    """The global model."""

    name: str = Field(
        "mobilenetv2",
        description="mobilenetv2, densenet121, resnet50, edge-cnn, strided-cnn, or a dotted path",
    )
    weights: str = Field("random", description="random, imagenet, or a weights file")
    image_size: int = Field(
        32, ge=16, le=1024, description="side that images are resized to inside the model"
    )
    scaling: Literal["backbone", "unit"] = Field(
        "backbone",
        description="what the network sees: backbone, as its pretrained weights or own layers expect; unit, [0, 1]",
    )
    batchnorm_momentum: float = Field(0.9, ge=0, lt=1, description="share of the old statistics a step keeps")
    batchnorm_policy: Literal["average", "recalibrate"] = Field(
        "average",
        description="statistics of a new global model: the clients' mean, or measured on validation images",
    )


class Federation(Section):
    """Who takes part, and how updates become one."""

    clients: int = Field(10, ge=1, le=MOST_CLIENTS, description="number of simulated hospitals")
    rounds: int = Field(5, ge=1, le=MOST_ROUNDS, description="federated rounds")
    participation: float = Field(1.0, gt=0, le=1, description="share of the clients sampled in a round")
    aggregator: str = Field(
        "mean", description="aggregation rule, as in median, krum(f=2), flower:FedMedian, or a dotted path"
    )
    pre_aggregators: tuple[str, ...] = Field(
        (), description="what updates go through before the rule, in order"
    )
    server_optimizer: str = Field("none", description="none, fedavgm, fedadam, fedyogi, or a dotted path")
    tolerate: int | float | None = Field(
        None,
        ge=0,
        description="malicious clients of a round (or their share) that rules reckon with; all if not given",
    )
    tolerate_quantile: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share of the rounds with no more attackers than reckoned with; their mean if not given",
    )
    claims: Literal["checked", "trusted"] = Field(
        "checked", description="checked: no client may claim more images than it introduced itself with"
    )
    min_replies: float = Field(
        0.5, ge=0, le=1, description="share of the sampled clients below which a round fails"
    )
    patience: int = Field(3, ge=1, description="rounds that fail one after another before the study stops")

    @model_validator(mode="after")
    def _one_says_how_many(self) -> Self:
        if self.tolerate is not None and self.tolerate_quantile is not None:
            raise ValueError(
                f"federation.tolerate-quantile = {self.tolerate_quantile} does nothing with federation.tolerate = "
                f"{self.tolerate}: take one of them out"
            )
        return self


RECIPE_SETTINGS: dict[str, set[str]] = {
    "plain": set(),
    "fgsm": {"epsilon", "step_size", "random_start", "share"},
    "pgd": {"epsilon", "steps", "step_size", "random_start", "share"},
}
"""The recipes, and the keys of ``[training]`` that each takes; the family itself needs TensorFlow."""


class Training(Section):
    """What a client does with its images in a round."""

    epochs: int = Field(1, ge=1, le=100_000, description="passes over the shard in a round")
    batch_size: int = Field(32, ge=1, le=MOST_BATCH, description="largest batch")
    optimizer: Literal["adam", "sgd"] = Field("adam", description="local optimiser, fresh in every round")
    learning_rate: float = Field(0.001, gt=0, le=LARGEST, description="at the first step of the study")
    schedule: Literal["constant", "cosine", "linear"] = Field(
        "constant", description="how the learning rate falls over all rounds"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd: momentum")
    weight_decay: float = Field(0.0, ge=0, le=LARGEST, description="decoupled weight decay")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: n / (classes * n_class)"
    )
    proximal: float = Field(
        0.0,
        ge=0,
        le=LARGEST,
        description="FedProx: weight of the squared distance to the global model, halved",
    )
    recipe: str = Field("plain", description="plain, fgsm, pgd, or a dotted path")
    epsilon: PixelEpsilon | None = Field(None, description="adversarial recipes: largest change of a pixel")
    steps: int | None = Field(None, ge=1, le=100_000, description="pgd: gradient steps")
    step_size: float | None = Field(
        None, ge=0, le=1, description="adversarial recipes: 0 for the recipe's own choice"
    )
    random_start: bool | None = Field(None, description="adversarial recipes: begin at a random point")
    share: float | None = Field(
        None, gt=0, le=1, description="adversarial recipes: share of a batch attacked"
    )
    space: Literal["native", "prepared"] = Field("native", description="which pixels a recipe perturbs")
    recipe_from: int = Field(1, ge=1, description="round in which the recipe begins; plain training before")

    @property
    def recipe_settings(self) -> dict[str, Any]:
        """The settings of the recipe that the study gives; the recipe's own defaults hold for the others."""
        names = ("epsilon", "steps", "step_size", "random_start", "share")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if "epsilon" in given:
            given["epsilon"] = epsilon_value(given["epsilon"])
        return given

    @model_validator(mode="after")
    def _settings_fit_the_recipe(self) -> Self:
        allowed = RECIPE_SETTINGS
        if ":" in self.recipe:
            return self
        if self.recipe not in allowed:
            raise ValueError(
                f'training.recipe = "{self.recipe}"{did_you_mean(self.recipe, allowed)}: choose one of: '
                f"{', '.join(allowed)}; or give a dotted path"
            )
        for name in self.recipe_settings:
            if name not in allowed[self.recipe]:
                raise ValueError(
                    f'training.{name.replace("_", "-")} does nothing with training.recipe = "{self.recipe}": '
                    "take it out, or choose another recipe"
                )
        if self.recipe == "plain" and self.recipe_from > 1:
            raise ValueError(
                f'training.recipe-from = {self.recipe_from} does nothing with training.recipe = "plain": take it out, '
                "or choose another recipe"
            )
        return self

    def in_round(self, round: int) -> "Training":
        """Return the training of a round: plain before the recipe begins."""
        if round >= self.recipe_from:
            return self
        nothing = dict.fromkeys(("epsilon", "steps", "step_size", "random_start", "share"))
        return self.model_copy(update={"recipe": "plain", **nothing})


class Poisoning(Section):
    """Who attacks the learning, and how."""

    attack: str = Field(
        "none", description="poisoning attack, or several as in pixel-backdoor + scaling(factor=5)"
    )
    malicious: int | float | tuple[int, ...] = Field(
        0.0, description="share, number, or list of the clients that attack"
    )
    first_round: int = Field(1, ge=1, description="round in which the attack begins")
    last_round: int = Field(0, ge=0, description="round in which it ends; 0: never")
    every: int = Field(1, ge=1, description="rounds between two attacks")
    on_failure: Literal["stop", "mark"] = Field(
        "stop", description="an attacker that fails by a fault stops the study, or its rounds are marked"
    )

    @model_validator(mode="after")
    def _somebody_attacks(self) -> Self:
        wanted = self.malicious
        if isinstance(wanted, tuple):
            if any(partition < 0 for partition in wanted) or len(set(wanted)) != len(wanted):
                raise ValueError(f"poisoning.malicious = {list(wanted)}: partitions from 0, each once")
        elif wanted < 0 or (isinstance(wanted, float) and wanted > 1):
            raise ValueError(
                f"poisoning.malicious = {wanted}: a share from 0.0 to 1.0, a whole number, or a list of partitions"
            )
        if self.last_round and self.last_round < self.first_round:
            raise ValueError(
                f"poisoning.last-round = {self.last_round} before poisoning.first-round = {self.first_round}"
            )
        return self


EVASION_ATTACKS = (
    "apgd-ce",
    "apgd-dlr",
    "apgd-focused",
    "apgd-t",
    "bim",
    "deepfool",
    "ensemble",
    "fab",
    "fab-t",
    "fgsm",
    "fmn",
    "hop-skip-jump",
    "mi-fgsm",
    "noise",
    "pgd",
    "radial-probes",
    "rays",
    "smoothed-pgd",
    "spsa",
    "square",
    "transfer",
    "universal",
    "carlini-wagner",
    "lbfgs",
)
"""The attacks that search in linf or l2; the family itself needs TensorFlow, which a study's file does not."""

PAPER_EPSILONS: tuple[Epsilon, ...] = (0.001, 0.002, 0.003, 0.004, 0.005)
GREY_LEVEL_EPSILONS: tuple[Epsilon, ...] = ("1/255", "2/255", "4/255", "8/255")


class Evaluation(Section):
    """What the server measures of the global model."""

    every: int = Field(1, ge=1, description="rounds between evaluations; the last round is always evaluated")
    attacks: tuple[str, ...] = Field(
        ("fgsm",), description="attacks on the global model, as in pgd(steps=20), or a dotted path"
    )
    attack_every: int = Field(
        0,
        ge=0,
        description="rounds between attacks; 0: in every evaluation; the last round is always attacked",
    )
    epsilons: tuple[Epsilon, ...] = Field(
        PAPER_EPSILONS + GREY_LEVEL_EPSILONS, description="strengths of the attacks"
    )
    norm: Literal["linf", "l2"] = Field("linf", description="distance that epsilon bounds")
    space: Literal["native", "prepared"] = Field("native", description="which pixels the attacks perturb")
    bits: Literal[0, 8] = Field(0, description="8: only images that an 8-bit file can hold")
    select: Literal["last", "best"] = Field(
        "last", description="which round's model is kept: the last, or the best validation AUC"
    )
    batch_size: int = Field(128, ge=1, le=MOST_BATCH, description="images evaluated at once")
    examples: int = Field(6, ge=0, le=64, description="test images shown under attack in the report")

    @model_validator(mode="after")
    def _epsilons_differ(self) -> Self:
        values = [epsilon_value(epsilon) for epsilon in self.epsilons]
        if len(set(values)) != len(values):
            raise ValueError(f"evaluation.epsilons = {list(self.epsilons)}: one value stands twice")
        names = [Spec.parse(attack).name for attack in self.attacks]
        unknown = [name for name in names if known_as(name, EVASION_ATTACKS) is None and ":" not in name]
        if unknown:
            raise ValueError(
                f'evaluation.attacks: "{unknown[0]}" is no evasion attack'
                f"{did_you_mean(unknown[0], EVASION_ATTACKS)}; choose among "
                f"{', '.join(EVASION_ATTACKS)}; or give a dotted path"
            )
        if len(set(self.attacks)) != len(self.attacks):
            raise ValueError(f"evaluation.attacks = {list(self.attacks)}: one attack stands twice")
        far = [
            epsilon
            for epsilon, value in zip(self.epsilons, values, strict=True)
            if value > 1 and self.norm == "linf"
        ]
        if far:
            raise ValueError(f"evaluation.epsilons = {_shown(far[0])}: an epsilon lies in (0, 1]: pixels do")
        if self.bits and self.space == "prepared":
            raise ValueError(
                'evaluation.bits = 8: prepared images lie between grey levels; take space = "native"'
            )
        return self


class Audit(Section):
    """Whether what looks robust is robust: the checks that end a study."""

    enabled: bool = Field(True, description="audit the global model when the last round is over")
    epsilon: Epsilon = Field("2/255", description="strength that the verdict is about")
    effort: Literal["quick", "standard", "full"] = Field("quick", description="how hard the attacks try")
    epsilons: tuple[Epsilon, ...] = Field(
        (), description="strengths of the card's accuracy curves; usual ones if empty"
    )
    images: int = Field(0, ge=0, description="test images audited, of every class its share; 0: all")
    control: str = Field("", description="Keras file or run folder of the same model without its defence")
    control_input: str = Field("", description="images that it takes, as of --input: 0..255, -1..1, ...")
    control_labels: str = Field(
        "", description="the data's label of each of its outputs, as of --labels: 1,0"
    )
    student: bool = Field(
        False, description="audit the student, too, beside its twin that learns from labels"
    )


class Distillation(Section):
    """The student that learns from the global model on the server."""

    enabled: bool = Field(True, description="train a student")
    student: str = Field("edge-cnn", description="the student's architecture")
    image_size: int = Field(0, ge=0, le=1024, description="side the student sees; 0 keeps the native size")
    temperature: float = Field(4.0, ge=0.01, le=1000, description="softens both distributions")
    public: str = Field(
        "", description="own .npz or set whose training images are used; empty: validation split"
    )
    epochs: int = Field(
        0, ge=0, le=100_000, description="passes over the transfer images; 0 chooses by their number"
    )
    batch_size: int = Field(32, ge=1, le=MOST_BATCH, description="largest batch")
    learning_rate: float = Field(0.002, gt=0, le=LARGEST, description="of Adam, falling to 0 along a cosine")


class Export(Section):
    """The student as a file for edge devices."""

    enabled: bool = Field(True, description="write LiteRT files of the student")
    formats: tuple[Literal["float32", "dynamic", "int8"], ...] = Field(
        ("float32", "int8"), description="number formats"
    )


class Engine(Section):
    """What carries messages between server and clients."""

    name: Literal["threads", "ray"] = Field(
        "threads", description="threads: all clients in this process; ray: in processes of a Ray cluster"
    )
    workers: int = Field(
        0,
        ge=0,
        le=MOST_WORKERS,
        description="clients trained at a time; 0: one a core of the machine or cluster",
    )
    address: str = Field(
        "", description="ray: a running cluster (auto, ray://host:port); empty starts one here"
    )
    gpus_per_worker: float = Field(0.0, ge=0, description="ray: share of a GPU that each worker gets")
    client_timeout: float = Field(
        0.0, ge=0, description="seconds after which a client is left out of a round; 0: no limit"
    )

    @model_validator(mode="after")
    def _threads_stay_here(self) -> Self:
        for key, value in (("address", self.address), ("gpus-per-worker", self.gpus_per_worker)):
            if self.name == "threads" and value:
                raise ValueError(
                    f"engine.{key} = {_shown(value)}: the threads engine runs in this process; leave it out, or "
                    'choose engine.name = "ray"'
                )
        return self


class Output(Section):
    """Where results go."""

    root: str = Field("runs", description="folder of run folders")
    dir: str = Field("", description="this run's folder; empty: a new one below root")
    resume: bool = Field(False, description="go on with the unfinished run in dir")
    report: bool = Field(True, description="write report.html when the run ends")

    @model_validator(mode="after")
    def _resumes_somewhere(self) -> Self:
        if self.resume and not self.dir:
            raise ValueError("output.resume = true: output.dir must name the run's folder")
        return self


QUICKSTART: dict[str, Any] = {
    "name": "quickstart",
    # From random weights and with 35 steps a client, a small network learns and MobileNetV2 does not. So few steps
    # also leave averaged moving statistics behind the weights: they are measured anew after each round.
    "model": {"name": "edge-cnn", "image-size": 28, "batchnorm-policy": "recalibrate"},
}


class Experiment(Section):
    """A study.

    Example:
        >>> experiment = Experiment.of(federation__clients=20)
        >>> experiment.federation.clients, experiment.data.name
        (20, 'phantom')
    """

    name: str = Field("study", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="name of the study")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="everything random derives from it")
    data: Data = Data()
    model: Model = Model()
    federation: Federation = Federation()
    training: Training = Training()
    poisoning: Poisoning = Poisoning()
    evaluation: Evaluation = Evaluation()
    audit: Audit = Audit()
    distillation: Distillation = Distillation()
    export: Export = Export()
    engine: Engine = Engine()
    output: Output = Output()

    base: str = Field("", exclude=True, description="folder that relative paths are resolved against first")

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        if self.export.enabled and not self.distillation.enabled:
            raise ValueError(
                "export.enabled = true with distillation.enabled = false: it is the student that is exported; "
                "set export.enabled = false"
            )
        if self.audit.student and not (self.audit.enabled and self.distillation.enabled):
            raise ValueError(
                "audit.student = true: there is no student or no audit; set distillation.enabled and audit.enabled to "
                "true, or audit.student to false"
            )
        far = [one for one in (self.audit.epsilon, *self.audit.epsilons) if epsilon_value(one) > 1]
        if far and self.evaluation.norm == "linf":
            key = "epsilon" if far[0] == self.audit.epsilon else "epsilons"
            raise ValueError(f"audit.{key} = {_shown(far[0])}: an epsilon lies in (0, 1]: pixels do")
        if isinstance(self.federation.tolerate, float) and self.federation.tolerate > 1:
            raise ValueError(
                f"federation.tolerate = {self.federation.tolerate}: a share from 0.0 to 1.0, or a whole number of "
                "clients"
            )
        first, rounds = self.training.recipe_from, self.federation.rounds
        if first > rounds:
            raise ValueError(
                f"training.recipe-from = {first}: the study ends after round {rounds}; choose 1 to {rounds}"
            )
        _check_names(self)
        return self

    @classmethod
    def load(cls, path: str | Path, overrides: Iterable[str] = (), **settings: Any) -> Self:
        """Read a study file, then apply ``key=value`` overrides and ``section__key=value`` settings.

        Raises:
            ConfigError: the file cannot be read, or a key, a type or a combination is wrong.
        """
        path = Path(path)
        return cls._checked(
            read_study_file(path), str(path), overrides, settings, base=str(path.resolve().parent)
        )

    @classmethod
    def of(cls, overrides: Iterable[str] = (), **settings: Any) -> Self:
        """Return the defaults with ``key=value`` overrides and ``section__key=value`` settings applied.

        Raises:
            ConfigError: a key, a type or a combination is wrong.
        """
        return cls._checked({}, "", overrides, settings)

    @classmethod
    def from_keys(cls, keys: Mapping[str, Any], base: str = "") -> Self:
        """Return the defaults with dotted kebab-case `keys` changed; paths are resolved against the folder `base`.

        Raises:
            ConfigError: a key, a type or a combination is wrong.
        """
        values: dict[str, Any] = {}
        for key, value in keys.items():
            _set(values, key, value, "")
        return cls._checked(values, "", (), {}, base=base)

    @classmethod
    def quickstart(cls, overrides: Iterable[str] = (), **settings: Any) -> Self:
        """Return the study that runs where none is named: ten hospitals with phantom images, nothing to download.

        Raises:
            ConfigError: an override's key, type or combination is wrong.
        """
        return cls._checked(copy.deepcopy(QUICKSTART), "", overrides, settings)

    def changed(self, overrides: Iterable[str] = (), **settings: Any) -> Self:
        """Return this study with ``key=value`` overrides and ``section__key=value`` settings applied.

        Raises:
            ConfigError: a key, a type or a combination is wrong.
        """
        return self._checked(self.to_dict(), "", overrides, settings, base=self.base)

    @classmethod
    def from_run_config(cls, run_config: Mapping[str, Any]) -> Self:
        """Return the experiment that Flower's flat run config describes (the inverse of `to_run_config`).

        Raises:
            ConfigError: a key, a type or a combination is wrong.
        """
        values: dict[str, Any] = {}
        base = str(run_config.get("base", ""))
        for key, value in run_config.items():
            unset = value == "" and key in _optional_keys()
            if key != "base" and not unset:
                _set(values, key, _unflattened(key, value), "run config")
        return cls._checked(values, "run config", (), {}, base=base)

    def to_run_config(self) -> dict[str, bool | int | float | str]:
        """Return the study as Flower's flat run config: dotted kebab-case keys, lists as TOML text.

        Settings that are not given are empty strings: Flower knows no null, and no key that an app does not declare.
        """
        flat: dict[str, bool | int | float | str] = {"base": self.base, **dict.fromkeys(_optional_keys(), "")}
        for key, value in self.to_dict().items():
            for name, item in value.items() if isinstance(value, dict) else [("", value)]:
                dotted = f"{key}.{name}" if name else key
                flat[dotted] = json.dumps(item) if isinstance(item, list) else item
        return flat

    def to_dict(self) -> dict[str, Any]:
        """Return the study as nested plain data with kebab-case keys; settings not given are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def to_toml(self) -> str:
        """Return the study as the text of a study file."""
        import tomli_w

        return tomli_w.dumps(self.to_dict())

    @classmethod
    def _checked(
        cls,
        values: dict[str, Any],
        source: str,
        overrides: Iterable[str],
        settings: Mapping[str, Any],
        base: str = "",
    ) -> Self:
        where = f"{source}: " if source else ""
        for override in overrides:
            key, separator, text = override.partition("=")
            if not separator:
                raise ConfigError(f"{override!r}: an override is written key=value, as federation.clients=20")
            _set(values, key.strip(), toml_value(text.strip()), where)
        for name, value in settings.items():
            _set(values, name.replace("__", "."), value, where)
        if "base" in values:
            raise ConfigError(f"{where}base: unknown key")
        if (beyond := _beyond_64_bits(values)) is not None:
            raise ConfigError(f"{where}{beyond}: a whole number of more than 64 bits")
        try:
            return cls.model_validate({**_known_names(_kebab(values, where)), "base": base})
        except RecursionError:
            raise ConfigError(f"{where}a value is nested too deeply") from None
        except pydantic.ValidationError as error:
            raise ConfigError("\n".join(where + line for line in _told(cls, error.errors()))) from None


def _check_names(experiment: Experiment) -> None:
    """Have everything that a study names with settings made once, so that what is wrong is said before it starts."""
    from fedrobust.study import attack_of, defence_of, malicious_of, server_optimizer_of

    def is_own(*names: str) -> bool:
        # A user's own module is imported when the study starts: its folder need not be known here.
        return any(":" in name and not name.startswith("flower:") for name in names)

    federation = experiment.federation
    try:
        malicious_of(experiment)
        if not is_own(experiment.poisoning.attack):
            attack_of(experiment)
        if not is_own(federation.aggregator, *federation.pre_aggregators):
            defence_of(experiment)
        if not is_own(federation.server_optimizer):
            server_optimizer_of(experiment)
    except FedrobustError as error:
        raise ValueError(str(error)) from error


def default(key: str) -> Any:
    """Return the default of a setting, by its dotted key.

    Example:
        >>> default("federation.clients"), default("seed")
        (10, 0)
    """
    fields, names = Experiment.model_fields, key.replace("-", "_").split(".")
    for name in names[:-1]:
        fields = getattr(fields[name].annotation, "model_fields", {})
    return fields[names[-1]].default


def keys() -> list[str]:
    """Return every key of a study, dotted, in the order of the study file."""
    return [
        f"{name}.{alias(inner)}" if inner else name
        for name, field in Experiment.model_fields.items()
        if name != "base"
        for inner in (getattr(field.annotation, "model_fields", {}) or [""])
    ]


def template(values: Mapping[str, Any] | None = None) -> str:
    """Return a study file with every key, its value and what it means.

    Args:
        values: what differs from the defaults, as in `QUICKSTART`; the default is then named beside it.
    """
    given = values or {}
    lines: list[str] = []
    for name, field in Experiment.model_fields.items():
        if name == "base":
            continue
        inner = getattr(field.annotation, "model_fields", None)
        chosen = given.get(alias(name), {} if inner else field.default)
        if inner is None:
            lines.append(_template_line(name, field, chosen))
            continue
        about = (field.annotation.__doc__ or "").strip().splitlines()[0] if field.annotation else ""
        lines += [
            "",
            f"[{alias(name)}]  # {about}",
            *(_template_line(key, item, chosen.get(alias(key), item.default)) for key, item in inner.items()),
        ]
    return "\n".join(lines) + "\n"


def _template_line(name: str, field: Any, value: Any) -> str:
    value = list(value) if isinstance(value, tuple) else value
    key = f"{alias(name)} = {json.dumps(value)}" if value is not None else f"# {alias(name)} ="
    default = (
        "" if value == field.default or isinstance(value, list) else f"; default {json.dumps(field.default)}"
    )
    return f"{key:<34} # {field.description}{default}"


def alias(name: str) -> str:
    """Return the kebab-case form of a field's name."""
    return name.replace("_", "-")


def _unflattened(key: str, value: Any) -> Any:
    is_list = isinstance(value, str) and value.startswith("[") and key in list_keys()
    return toml_value(value) if is_list else value


@cache
def _optional_keys() -> tuple[str, ...]:
    return tuple(
        f"{name}.{alias(key)}"
        for name, field in Experiment.model_fields.items()
        for key, item in (getattr(field.annotation, "model_fields", None) or {}).items()
        if item.default is None
    )


def list_keys() -> set[str]:
    """Return the keys whose values are lists."""
    return {
        "audit.epsilons",
        "evaluation.attacks",
        "evaluation.epsilons",
        "export.formats",
        "federation.pre-aggregators",
        "poisoning.malicious",
    }


def _set(values: dict[str, Any], dotted: str, value: Any, where: str) -> None:
    *path, last = dotted.replace("_", "-").split(".")
    if len(path) > 1:
        raise ConfigError(
            f"{where}{dotted[:80]}: unknown key; a key is written section.key, as federation.clients"
        )
    table = values
    for name in path:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{where}{dotted}: {name} is a value, not a table")
    table[last] = value


def _kebab(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return `values` with kebab-case keys and, as strict fields want them, lists as tuples."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("_", "-")
        if name in result:
            raise ConfigError(f"{where}{name}: given twice, with - and with _")
        if isinstance(value, Mapping):
            result[name] = _kebab(value, where)
        else:
            result[name] = tuple(value) if isinstance(value, list) else value
    return result


def _beyond_64_bits(values: Mapping[str, Any], above: str = "") -> str | None:
    """Return the key of a whole number that neither TOML nor Flower can hold, None if there is none."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            found = _beyond_64_bits(value, f"{above}{name}.") if not above.count(".") > MOST_PARTS else None
            if found is not None:
                return found
        items = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(item, int) and not -(2**63) <= item < 2**63 for item in items):
            return f"{above}{name}"
    return None


def _known_names(values: dict[str, Any]) -> dict[str, Any]:
    """Return `values` with the registered form of names that are written with other case, or ``_`` for ``-``.

    One thing has one name in all records: results of the same study are found again.
    """
    from fedrobust.aggregation import PRE_AGGREGATORS, RULES, SERVER_OPTIMIZERS
    from fedrobust.poisoning import POISONING

    families: dict[tuple[str, str], Iterable[str]] = {
        ("federation", "aggregator"): RULES,
        ("federation", "pre-aggregators"): PRE_AGGREGATORS,
        ("federation", "server-optimizer"): ["none", *SERVER_OPTIMIZERS],
        ("poisoning", "attack"): ["none", *POISONING],
        ("training", "recipe"): RECIPE_SETTINGS,
        ("evaluation", "attacks"): EVASION_ATTACKS,
    }
    values = dict(values)
    for (table, key), names in families.items():
        section = values.get(table)
        if isinstance(section, Mapping) and key in section:
            values[table] = {**values[table], key: _renamed(section[key], list(names))}
    return values


def _renamed(value: Any, names: list[str]) -> Any:
    if isinstance(value, tuple):
        return tuple(_renamed(one, names) for one in value)
    if not isinstance(value, str):
        return value
    parts = []
    for part in split_sum(value):
        name = re.match(r"[^()\s]*", part)
        known = known_as(name[0], names) if name else None
        parts.append(known + part[len(name[0]) :] if name and known else part)
    return value if parts == split_sum(value) else " + ".join(parts)


def _told(cls: type[BaseModel], errors: Iterable[Any]) -> list[str]:
    """Return a line for every wrong value; where several types are allowed, what each of them wants."""
    lines: dict[tuple[str, str], list[Any]] = {}
    for item in errors:
        place = ".".join(_place(item)[:2])
        lines.setdefault((place, shortened(item["input"]) if place else item["msg"]), []).append(item)
    told = []
    for items in lines.values():
        wanted = [str(items[0]["msg"]), *(one["msg"].removeprefix("Input should be ") for one in items[1:])]
        message = " or ".join(dict.fromkeys(wanted)).replace("valid tuple", "list")
        told.append(_explained(cls, {**items[0], "msg": message}))
    return told


def _place(item: Any) -> list[str]:
    return [part for part in item["loc"] if isinstance(part, str) and not part.startswith("function-")]


def _explained(cls: type[BaseModel], item: Any) -> str:
    """Return one pydantic error as a sentence: the key, the value, what is allowed."""
    place = _place(item)
    known = keys()
    dotted = ".".join(place[:2]).replace("_", "-")
    if item["type"] == "extra_forbidden":
        close = difflib.get_close_matches(dotted, known, n=1, cutoff=0.6)
        table = place[0] if len(place) > 1 else ""
        allowed = (
            [key.removeprefix(f"{table}.") for key in known if key.startswith(f"{table}.")]
            if table
            else sorted({key.split(".")[0] for key in known})
        )
        hint = f", did you mean {close[0]}?" if close else ";"
        return f"{dotted}: unknown key{hint} Allowed here: {', '.join(allowed)}"
    message: str = item["msg"].removeprefix("Value error, ")
    if not place or (item["type"] == "value_error" and len(place) == 1):
        return message
    value = item["input"]
    return f"{dotted} = {_shown(value)}: {message}{_about(cls, place)}"


def _shown(value: Any) -> str:
    value = list(value) if isinstance(value, tuple) else value
    if isinstance(value, float):
        return f"{value:.17g}" if value.is_integer() else str(value)
    return f'"{value}"' if isinstance(value, str) and len(value) <= 80 else shortened(value)


def _about(cls: type[BaseModel], place: list[str]) -> str:
    model: Any = cls
    description = ""
    for name in place:
        field = getattr(model, "model_fields", {}).get(name.replace("-", "_"))
        if field is None:
            break
        description = field.description or description
        model = field.annotation
        choices = get_args(model) if getattr(model, "__origin__", None) is Literal else ()
        if choices:
            description += f": {', '.join(map(str, choices))}"
    return f" ({description})" if description else ""
