"""`[evaluation]`: what is measured of the global model."""

from typing import Literal, Self

from pydantic import Field, model_validator

from fedrobust.config.messages import shown
from fedrobust.config.sections.section import MOST_BATCH, Epsilon, Section
from fedrobust.epsilon import epsilon_value

PAPER_EPSILONS: tuple[Epsilon, ...] = (0.001, 0.002, 0.003, 0.004, 0.005)
GREY_LEVEL_EPSILONS: tuple[Epsilon, ...] = ("1/255", "2/255", "4/255", "8/255")


class Evaluation(Section):
    """What the server measures of the global model."""

    every: int = Field(1, ge=1, description="rounds between evaluations; the last round is always evaluated")
    attacks: tuple[str, ...] = Field(
        ("fgsm",), description="evasion attacks on the global model, as in pgd(steps=20), or a dotted path"
    )
    attack_every: int = Field(
        0,
        ge=0,
        description="rounds between attacks; 0: at every evaluation; the last round is always attacked",
    )
    epsilons: tuple[Epsilon, ...] = Field(
        PAPER_EPSILONS + GREY_LEVEL_EPSILONS, description="epsilons of the attacks"
    )
    metrics: tuple[str, ...] = Field(
        (), description="further metrics in record, report and sweeps, as in brier, or dotted paths"
    )
    norm: Literal["linf", "l2"] = Field("linf", description="norm that epsilon bounds")
    attacked_finding: str = Field(
        "any",
        description="multi-label data: the finding whose answer attacks change, by name or number; any: all of them",
    )
    space: Literal["native", "prepared"] = Field(
        "native",
        description="pixels that are perturbed: stored ones (native) or the network's input (prepared)",
    )
    bits: Literal[0, 8] = Field(0, description="8: adversarial images have 8-bit grey levels; 0: any value")
    validation: bool = Field(
        False,
        description="measure the validation split, too: settings are chosen by it, never by the test split",
    )
    select: Literal["last", "best"] = Field(
        "last",
        description="model that is kept: of the last round, or the best by select-by on validation images",
    )
    select_by: Literal[
        "auc",
        "balanced-accuracy",
        "accuracy",
        "loss",
        "worst-client",
        "robust-accuracy",
        "robust-balanced-accuracy",
    ] = Field(
        "auc",
        description="validation figure by which the best round is chosen; robust-accuracy, robust-balanced-accuracy: "
        "under a short PGD at the recipe's epsilon",
    )
    stop_after: int = Field(
        0, ge=0, description="evaluations without a better one after which the study stops; 0: never"
    )
    baselines: tuple[Literal["central", "local"], ...] = Field(
        (),
        description="models to compare with, in as many steps; central: trained on all images in one place; local: "
        "each client on its own images alone",
    )
    clients: int = Field(
        20,
        ge=1,
        le=10_000,
        description="honest clients, evenly over all, whose local and personal models are measured after the last "
        "round",
    )
    batch_size: int = Field(128, ge=1, le=MOST_BATCH, description="images per forward pass")
    examples: int = Field(6, ge=0, le=64, description="adversarial test images shown in the report")

    @model_validator(mode="after")
    def _what_stops_is_measured(self) -> Self:
        if self.stop_after and self.select == "last":
            raise ValueError(
                f'evaluation.stop-after = {self.stop_after} does nothing with evaluation.select = "last": '
                'take it out, or set select = "best"'
            )
        return self

    @model_validator(mode="after")
    def _epsilons_differ(self) -> Self:
        values = [epsilon_value(epsilon) for epsilon in self.epsilons]
        if len(set(values)) != len(values):
            raise ValueError(f"evaluation.epsilons = {shown(list(self.epsilons))}: one value stands twice")
        if len(set(self.attacks)) != len(self.attacks):
            raise ValueError(f"evaluation.attacks = {shown(list(self.attacks))}: one attack stands twice")
        far = [
            epsilon
            for epsilon, value in zip(self.epsilons, values, strict=True)
            if value > 1 and self.norm == "linf"
        ]
        if far:
            raise ValueError(f"evaluation.epsilons = {shown(far[0])}: an epsilon lies in (0, 1]: pixels do")
        if self.bits and self.space == "prepared":
            raise ValueError(
                'evaluation.bits = 8: prepared images lie between grey levels; take space = "native"'
            )
        return self
