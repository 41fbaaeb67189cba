"""`[model]`: the global model."""

from typing import Literal

from pydantic import Field

from fedrobust.config.sections.section import Section


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
    batchnorm_policy: Literal["auto", "average", "recalibrate"] = Field(
        "auto",
        description="BatchNorm statistics: average of the clients', or recalibrated on validation images; auto: "
        "recalibrated where there are 64 of these, averaged otherwise",
    )
