"""`[model]`: the global model."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from fedrobust.config.sections.section import Section
from fedrobust.errors import ConfigError
from fedrobust.models.input_format import InputFormat
from fedrobust.models.naming import Normalization
from fedrobust.models.network_file import is_network_file


class Model(Section):
    """The global model."""

    name: str = Field(
        "mobilenetv2",
        description="mobilenetv2, densenet121, resnet50, edge-cnn(width=32), strided-cnn(width=32), any of Keras' "
        "backbones as in keras:EfficientNetV2B0, a dotted path, or the path of a Keras file, as in mine.keras",
    )
    weights: str = Field(
        "random",
        description="random, imagenet, file (those in the Keras file that model.name names), or a weights file",
    )
    head: Literal["keep", "new"] = Field(
        "keep",
        description="with weights = file: keep the file's last layer, or new for one of the data's classes",
    )
    image_size: int = Field(
        32, ge=16, le=1024, description="side that images are resized to inside the model"
    )
    scaling: str = Field(
        "backbone",
        description="pixel range of the network: backbone, what its weights or own layers expect; unit, [0, 1]; or an "
        "input format, as in 0..255",
    )
    defence: str = Field(
        "none",
        description="prediction-time defence of the model and its student, as in bit-depth(bits=4), or a dotted path",
    )
    detector: str = Field(
        "none",
        description="detector of attacked images on which the trained model abstains, measured by the audit, as in "
        "mahalanobis, or a dotted path",
    )
    detector_rate: float = Field(
        0.05, gt=0, lt=1, description="share of clean images on which the model may abstain"
    )
    removal: str = Field(
        "none",
        description="removal of backdoors from the trained global model on the server's validation images, as in "
        "super-fine-tuning(first=0.05), or a dotted path",
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

    @field_validator("scaling")
    @classmethod
    def _scaling_is_known(cls, scaling: str) -> str:
        if scaling in ("backbone", "unit"):
            return scaling
        try:
            given = InputFormat.parse(scaling, "model.scaling")
        except ConfigError as error:
            raise ValueError(f'{str(error).partition(": ")[2]}; or "backbone", or "unit"') from error
        if given.channels_first or given.whole:
            raise ValueError("channels-first and uint8 are no inputs of a network that clients train")
        return scaling

    @model_validator(mode="after")
    def _the_file_is_the_network(self) -> Self:
        if self.weights == "file" and not is_network_file(self.name):
            raise ValueError(
                f'model.weights = "file" with model.name = "{self.name}": the network is in no file; choose "random", '
                '"imagenet" or a weights file, or name a network such as "mine.keras"'
            )
        if self.head == "new" and self.weights != "file":
            raise ValueError(
                f'model.head = "new" with model.weights = "{self.weights}": the last layer is new by itself; leave it '
                'out, or set model.weights = "file"'
            )
        return self

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
    def defended_by(self) -> str:
        """The spec of the prediction-time defence, "" without one."""
        return "" if self.defence == "none" else self.defence

    @property
    def norm(self) -> Normalization:
        """What stands where an architecture has BatchNorm."""
        return "frozen" if self.batchnorm_policy == "frozen" else self.normalization
