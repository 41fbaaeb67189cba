"""`[data]`: which images, and who has them."""

from typing import Literal

from pydantic import Field

from fedrobust.config.sections.section import Section


class Data(Section):
    """Which images, and how the training split is divided among clients."""

    name: str = Field("phantom", description="a MedMNIST 2-D set, phantom, or the path of an .npz file")
    clients: tuple[str, ...] = Field(
        (),
        description="own .npz files of simulated hospitals, in place of a name: client i trains on file i, all are "
        "validated and tested together; needs partition = site",
    )
    held_out_sites: tuple[str, ...] = Field(
        (),
        description="sites (of train_site, or names of files) that are left out of training: unseen hospitals",
    )
    size: Literal[28, 64, 128, 224] = Field(28, description="side of MedMNIST and phantom images in pixels")
    root: str = Field("", description="first folder that is searched; then $FEDROBUST_DATA, then ~/.medmnist")
    partition: str = Field(
        "iid",
        description="how the training split is divided, as in dirichlet(alpha=0.3, min_size=10), or a dotted path",
    )
    train_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the training images that is trained on, drawn at random; the others are left out",
    )
    train_draw: int = Field(
        0,
        ge=0,
        description="number of the draw of train-share: another one, other images; of halves, 2k and 2k + 1 share none",
    )
    undersample: bool = Field(
        False, description="undersample each client's classes to the size of its rarest one"
    )
    site_shifts: tuple[str, ...] = Field(
        (),
        description="what differs at simulated clients' hospitals, as in "
        '["0-2: blur(severity=2) + noise", "5: label-noise(share=0.2)"], or "all: ..."',
    )
    augment: int = Field(
        0,
        ge=0,
        le=100,
        description="augmented copies added per image: rotated, shifted, sheared, zoomed, flipped",
    )
    classes: int = Field(2, ge=2, le=8, description="phantom: number of classes")
    multilabel: bool = Field(
        False, description="phantom: any number of lesions an image, each kind a finding, instead of one"
    )
    channels: Literal[1, 3] = Field(1, description="phantom: grey or colour")
    samples: int = Field(2000, ge=50, le=1_000_000, description="phantom: training images")
