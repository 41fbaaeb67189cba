"""What the tables of a study file have in common: strictness, the largest numbers, epsilons."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from fedrobust.epsilon import epsilon_value

MOST_CLIENTS = 1_000_000
MOST_ROUNDS = 1_000_000
MOST_WORKERS = 4096
MOST_BATCH = 65_536
LARGEST = 3.4028234663852886e38
"""The largest float32: learning rates and the like are numbers of a graph."""


def _checked_epsilon(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError('an epsilon is a number or a fraction such as "8/255"')
    if epsilon_value(value) <= 0:
        raise ValueError("an epsilon is above 0")
    return value


Epsilon = Annotated[float | str, BeforeValidator(_checked_epsilon)]
"""How far an attacker may go; how far there is to go depends on the norm."""


class Section(BaseModel):
    """A table of the study file."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=lambda name: name.replace("_", "-"),
        populate_by_name=True,
        validate_default=True,
        strict=True,
        # " mixup" is built as "mixup" is, and nothing that looks for a name is to miss it.
        str_strip_whitespace=True,
        allow_inf_nan=False,
    )
