"""`[export]`: the student as a file."""

from typing import Literal

from pydantic import Field

from fedrobust.config.sections.section import Section


class Export(Section):
    """The student as a file for edge devices."""

    enabled: bool = Field(True, description="write LiteRT files of the student")
    formats: tuple[Literal["float32", "float16", "dynamic", "int8", "int16x8", "onnx"], ...] = Field(
        ("float32", "int8"),
        description="number formats: float32, float16, dynamic (int8 weights), int8, int16x8 (wide activations), onnx",
    )
