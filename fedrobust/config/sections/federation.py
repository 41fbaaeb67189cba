"""`[federation]`: clients, their participation, and the aggregation of their updates."""

from typing import Literal, Self

from pydantic import Field, model_validator

from fedrobust.config.sections.section import MOST_CLIENTS, MOST_ROUNDS, Section


class Federation(Section):
    """Clients, their participation, and the aggregation of their updates."""

    clients: int = Field(10, ge=1, le=MOST_CLIENTS, description="number of simulated hospitals")
    rounds: int = Field(5, ge=1, le=MOST_ROUNDS, description="federated rounds")
    participation: float = Field(1.0, gt=0, le=1, description="share of the clients sampled in a round")
    sampling: Literal["fixed", "poisson"] = Field(
        "fixed",
        description="fixed: that share of the clients, drawn without replacement; poisson: each client with that "
        "probability, independently, so that the number varies",
    )
    availability: tuple[str, ...] = Field(
        (),
        description='sites that join late, leave, drop out or are slow, as in ["0-2: joins(round=5)", '
        '"3: dropout(probability=0.2) + straggler"], or "all: ..."',
    )
    aggregator: str = Field(
        "mean", description="aggregation rule, as in median, krum(f=2), flower:FedMedian, or a dotted path"
    )
    pre_aggregators: tuple[str, ...] = Field(
        (), description="pre-aggregators applied to the updates before the rule, in order"
    )
    postprocessors: tuple[str, ...] = Field(
        (), description="postprocessors of updates at clients and server, as in clip(norm=1.0), in order"
    )
    secure_aggregation: bool = Field(
        False,
        description="the server sees only the sum of a round's updates, so that no rule, check or attack uses single "
        "ones (its effect is simulated; there is no cryptography)",
    )
    server_optimizer: str = Field(
        "none", description="server optimiser: none, fedavgm, fedadam, fedyogi, or a dotted path"
    )
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share that each round keeps of the moving average of the weights, which is evaluated; 0: none. "
        "Its BatchNorm statistics are averaged likewise, or measured anew with model.batchnorm-policy = recalibrate",
    )
    tolerate: int | float | None = Field(
        None,
        ge=0,
        description="malicious clients in a round (number or share) that rules tolerate; default: the true number",
    )
    tolerate_quantile: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share of the rounds whose attackers rules tolerate; default: the mean number of a round",
    )
    claims: Literal["checked", "trusted"] = Field(
        "checked",
        description="checked: a client may not claim more images than it reported before the first round",
    )
    min_replies: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the sampled clients whose replies must be valid, else the round fails",
    )
    non_finite: Literal["drop", "stop"] = Field(
        "drop",
        description="numbers that are NaN, infinite or impossible: drop keeps back the client or model that has them "
        "and goes on; stop ends the study there, with round, client and layer",
    )
    patience: int = Field(3, ge=1, description="failed rounds in a row that stop the study")

    @model_validator(mode="after")
    def _one_says_how_many(self) -> Self:
        if self.tolerate is not None and self.tolerate_quantile is not None:
            raise ValueError(
                f"federation.tolerate-quantile = {self.tolerate_quantile} does nothing with federation.tolerate = "
                f"{self.tolerate}: take one of them out"
            )
        return self
