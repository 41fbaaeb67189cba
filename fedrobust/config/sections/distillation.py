"""`[distillation]`: the student."""

from pydantic import Field

from fedrobust.config.sections.section import LARGEST, MOST_BATCH, Section


class Distillation(Section):
    """The student that learns from the global model on the server."""

    enabled: bool = Field(True, description="train a student")
    student: str = Field("edge-cnn", description="the student's architecture")
    image_size: int = Field(0, ge=0, le=1024, description="side the student sees; 0 keeps the native size")
    temperature: float = Field(4.0, ge=0.01, le=1000, description="softens both distributions")
    public: str = Field(
        "", description="own .npz or set whose training images are used; empty: validation split"
    )
    epochs: int = Field(
        0, ge=0, le=100_000, description="passes over the transfer images; 0 chooses by their number"
    )
    batch_size: int = Field(32, ge=1, le=MOST_BATCH, description="largest batch")
    learning_rate: float = Field(0.002, gt=0, le=LARGEST, description="of Adam, falling to 0 along a cosine")
