"""`[privacy]`: the promise of differential privacy, and example-level DP-SGD at every client."""

from typing import Self

from pydantic import Field, model_validator

from fedrobust.config.sections.section import LARGEST, Section


class Privacy(Section):
    """The promise of differential privacy, and example-level DP-SGD at every client."""

    delta: float = Field(
        0.001,
        gt=0,
        lt=1,
        description="delta of the promise, below 1 / number of clients (or images of a client)",
    )
    example_epsilon: float = Field(
        0.0,
        ge=0,
        le=LARGEST,
        description="DP-SGD at every client with the noise that ends at this epsilon of each of its images; 0: none",
    )
    example_noise: float = Field(
        0.0,
        ge=0,
        le=LARGEST,
        description="the same with this noise multiplier in place of an epsilon; 0: none",
    )
    example_clip: float = Field(
        1.0, gt=0, le=LARGEST, description="largest norm of the gradient of one image"
    )
    force: bool = Field(
        False, description="run a study whose noise leaves nothing to learn, which is refused otherwise"
    )

    @property
    def protects_examples(self) -> bool:
        """Whether clients train by DP-SGD."""
        return bool(self.example_epsilon or self.example_noise)

    @model_validator(mode="after")
    def _one_says_how_much(self) -> Self:
        if self.example_epsilon and self.example_noise:
            raise ValueError(
                f"privacy.example-noise = {self.example_noise} with privacy.example-epsilon = {self.example_epsilon}: "
                "each of them sets the noise; take one out"
            )
        return self
