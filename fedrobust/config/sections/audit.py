"""`[audit]`: the checks that end a study."""

from typing import Literal

from pydantic import Field

from fedrobust.config.sections.section import Epsilon, Section


class Audit(Section):
    """The robustness audit of the final model: its epsilon, its effort, its controls."""

    enabled: bool = Field(True, description="audit the global model when the last round is over")
    epsilon: Epsilon = Field("2/255", description="epsilon of the verdict")
    effort: Literal["quick", "standard", "full"] = Field(
        "quick", description="attacks that are made, and their steps, restarts and queries"
    )
    epsilons: tuple[Epsilon, ...] = Field(
        (), description="epsilons of the card's accuracy curves; empty: the usual ones"
    )
    images: int = Field(0, ge=0, description="test images audited, stratified by class; 0: all")
    control: str = Field(
        "", description="undefended control: Keras file or run folder of the same model without its defence"
    )
    control_input: str = Field(
        "", description="the control's pixel format, as in --input: 0..255, -1..1, ..."
    )
    control_labels: str = Field("", description="the control's class order, as in --labels: 1,0")
    student: bool = Field(False, description="audit the student, too, with a label-trained control")
