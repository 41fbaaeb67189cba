"""`[output]`: where results go."""

from typing import Self

from pydantic import Field, model_validator

from fedrobust.config.sections.section import Section


class Output(Section):
    """Where results go."""

    root: str = Field("runs", description="folder of run folders")
    dir: str = Field("", description="this run's folder; empty: a new one below root")
    resume: bool = Field(False, description="go on with the unfinished run in dir")
    keep_every: int = Field(
        0,
        ge=0,
        description="rounds between global models that are kept in rounds/, for `fedrobust leakage`; the last is "
        "kept, too; 0: none",
    )
    report: bool = Field(True, description="write report.html when the run ends")

    @model_validator(mode="after")
    def _resumes_somewhere(self) -> Self:
        if self.resume and not self.dir:
            raise ValueError("output.resume = true: output.dir must name the run's folder")
        return self
