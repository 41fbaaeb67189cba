"""`[engine]`: what carries messages."""

from typing import Literal, Self

from pydantic import Field, model_validator

from fedrobust.config.messages import shown
from fedrobust.config.sections.section import MOST_WORKERS, Section


class Engine(Section):
    """What carries messages between server and clients."""

    name: Literal["threads", "ray"] = Field(
        "threads", description="threads: all clients in this process; ray: in processes of a Ray cluster"
    )
    workers: int = Field(
        0,
        ge=0,
        le=MOST_WORKERS,
        description="clients trained in parallel; 0: one per core of the machine or cluster",
    )
    address: str = Field(
        "", description="ray: a running cluster (auto, ray://host:port); empty starts one here"
    )
    gpus_per_worker: float = Field(0.0, ge=0, description="ray: share of a GPU that each worker gets")
    client_timeout: float = Field(
        0.0, ge=0, description="seconds until a client is dropped from a round; 0: no limit"
    )

    @model_validator(mode="after")
    def _threads_stay_here(self) -> Self:
        for key, value in (("address", self.address), ("gpus-per-worker", self.gpus_per_worker)):
            if self.name == "threads" and value:
                raise ValueError(
                    f"engine.{key} = {shown(value)}: the threads engine runs in this process; leave it out, or "
                    'choose engine.name = "ray"'
                )
        return self
