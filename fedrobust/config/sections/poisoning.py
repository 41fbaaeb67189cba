"""`[poisoning]`: malicious clients and their attack."""

from typing import Literal, Self

from pydantic import Field, model_validator

from fedrobust.config.sections.section import Section
from fedrobust.epsilon import shortened


class Poisoning(Section):
    """Malicious clients, their attack, and the rounds in which they attack."""

    attack: str = Field(
        "none", description="poisoning attack, or several as in pixel-backdoor + scaling(factor=5)"
    )
    malicious: int | float | tuple[int, ...] = Field(
        0.0, description="share, number, or list of the clients that attack"
    )
    first_round: int = Field(1, ge=1, description="round in which the attack begins")
    last_round: int = Field(0, ge=0, description="round in which it ends; 0: never")
    every: int = Field(1, ge=1, description="attack every so many rounds")
    on_failure: Literal["stop", "mark"] = Field(
        "stop", description="if an attack raises an error: stop the study, or mark its rounds as invalid"
    )

    knowledge: Literal["all", "own"] = Field(
        "all", description="updates that colluding clients know: all of a round, or only their own"
    )

    @model_validator(mode="after")
    def _somebody_attacks(self) -> Self:
        wanted = self.malicious
        if isinstance(wanted, tuple):
            if any(partition < 0 for partition in wanted) or len(set(wanted)) != len(wanted):
                raise ValueError(
                    f"poisoning.malicious = {shortened(list(wanted))}: partitions from 0, each once"
                )
        elif wanted < 0 or (isinstance(wanted, float) and wanted > 1):
            raise ValueError(
                f"poisoning.malicious = {wanted}: a share from 0.0 to 1.0, a whole number, or a list of partitions"
            )
        if self.last_round and self.last_round < self.first_round:
            raise ValueError(
                f"poisoning.last-round = {self.last_round} before poisoning.first-round = {self.first_round}"
            )
        return self
