"""`[audit]`: the checks that end a study."""

from typing import Literal

from pydantic import Field

from fedrobust.config.sections.section import Epsilon, Section


class Audit(Section):
    """Whether what looks robust is robust: the checks that end a study."""

    enabled: bool = Field(True, description="audit the global model when the last round is over")
    epsilon: Epsilon = Field("2/255", description="strength that the verdict is about")
    effort: Literal["quick", "standard", "full"] = Field("quick", description="how hard the attacks try")
    epsilons: tuple[Epsilon, ...] = Field(
        (), description="strengths of the card's accuracy curves; usual ones if empty"
    )
    images: int = Field(0, ge=0, description="test images audited, of every class its share; 0: all")
    control: str = Field("", description="Keras file or run folder of the same model without its defence")
    control_input: str = Field("", description="images that it takes, as of --input: 0..255, -1..1, ...")
    control_labels: str = Field(
        "", description="the data's label of each of its outputs, as of --labels: 1,0"
    )
    student: bool = Field(
        False, description="audit the student, too, beside its twin that learns from labels"
    )
