"""`[data]`: which images, and who has them."""

from typing import Literal

from pydantic import Field

from fedrobust.config.sections.section import MOST_IMAGES, Section


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
