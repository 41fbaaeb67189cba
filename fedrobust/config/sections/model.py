"""`[model]`: the global model."""

from typing import Literal, Self

from pydantic import Field, model_validator

from fedrobust.config.sections.section import Section
from fedrobust.models.naming import Normalization


class Model(Section):
    """The global model."""

    name: str = Field(
        "mobilenetv2",
        description="mobilenetv2, densenet121, resnet50, edge-cnn(width=32), strided-cnn(width=32), or a dotted path",
    )
    weights: str = Field("random", description="random, imagenet, or a weights file")
    image_size: int = Field(
        32, ge=16, le=1024, description="side that images are resized to inside the model"
    )
    scaling: Literal["backbone", "unit"] = Field(
        "backbone",
        description="pixel range of the network: backbone, what its weights or own layers expect; unit, [0, 1]",
    )
    defence: str = Field(
        "none",
        description="prediction-time defence of the model and its student, as in bit-depth(bits=4), or a dotted path",
    )
    normalization: Literal["batch", "group"] = Field(
        "batch",
        description="group: GroupNorm in the place of BatchNorm, which depends neither on the batch nor on statistics",
    )
    batchnorm_momentum: float = Field(
        0.9, ge=0, lt=1, description="share of the old moving statistics that a step keeps"
    )
    batchnorm_policy: Literal["auto", "average", "recalibrate", "moments", "frozen"] = Field(
        "auto",
        description="BatchNorm statistics: average of the clients' moving ones; recalibrate on validation images; "
        "moments that clients measure; frozen pretrained ones; auto: recalibrate with 64 validation images or more, "
        "else moments",
    )

    @model_validator(mode="after")
    def _there_are_statistics_to_freeze(self) -> Self:
        if self.batchnorm_policy != "frozen":
            return self
        for key, value in (("weights", "random"), ("normalization", "group")):
            if getattr(self, key) == value:
                raise ValueError(
                    f'model.batchnorm-policy = "frozen" with model.{key} = "{value}": there are no pretrained '
                    "statistics to keep; choose another policy, or pretrained weights and BatchNorm"
                )
        return self

    @property
    def norm(self) -> Normalization:
        """What stands where an architecture has BatchNorm."""
        return "frozen" if self.batchnorm_policy == "frozen" else self.normalization
