"""`[distillation]`: the student."""

from typing import Literal

from pydantic import Field

from fedrobust.config.sections.section import LARGEST, MOST_BATCH, Section


class Distillation(Section):
    """Knowledge distillation of the global model into a student, on the server."""

    enabled: bool = Field(True, description="train a student")
    student: str = Field("edge-cnn", description="the student's architecture, as in edge-cnn(width=16)")
    method: str = Field(
        "soft-labels",
        description="how the student learns from its teacher, as in rslad(epsilon='4/255', steps=7), or a dotted path",
    )
    teacher: Literal["global-model", "clients", "local-models", "class-logits"] = Field(
        "global-model",
        description="who teaches: the global model; clients: the mean logits of the clients' models after the last "
        "round (FedDF); local-models: those of models that clients train alone, whose logits are all they would send; "
        "class-logits: the mean answers to each class of models that clients train on each other's (FD)",
    )
    gamma: float = Field(
        1.0,
        gt=0,
        le=LARGEST,
        description="class-logits: weight of the other clients' answers in a client's loss",
    )
    image_size: int = Field(
        0, ge=0, le=1024, description="side of the student's input in pixels; 0: the native size"
    )
    temperature: float = Field(
        4.0, ge=0.01, le=1000, description="softmax temperature of teacher and student; rslad has none"
    )
    public: str = Field(
        "",
        description="transfer set: a data set's training images, or an own .npz of images without labels; empty: the "
        "validation split",
    )
    copies: int = Field(
        9,
        ge=0,
        le=100,
        description="augmented copies of each transfer image, with the teacher's logits; fewer for many images",
    )
    mixup: float = Field(
        0.0,
        ge=0,
        le=100,
        description="mixup of copies in pairs: alpha of Beta(alpha, alpha); 0: none",
    )
    epochs: int = Field(
        0, ge=0, le=100_000, description="passes over images and copies; 0: chosen by its size"
    )
    batch_size: int = Field(32, ge=1, le=MOST_BATCH, description="largest batch size")
    learning_rate: float = Field(
        0.002, gt=0, le=LARGEST, description="Adam's first learning rate; cosine decay to 0"
    )
