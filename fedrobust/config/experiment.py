"""`Experiment`: the typed settings of a study, from and to TOML, keyword arguments and Flower's run config.

Keys are kebab-case in files (``batch-size``); ``_`` is accepted for ``-``. Everything is checked here, before
anything starts.
"""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import pydantic
from pydantic import Field, model_validator

from fedrobust.config.check_names import check_names
from fedrobust.config.messages import explanations, shown
from fedrobust.config.old_keys import tell_of_old_keys, without_old_keys
from fedrobust.config.sections import (
    Audit,
    Data,
    Distillation,
    Engine,
    Evaluation,
    Export,
    Federation,
    Model,
    Output,
    Poisoning,
    Privacy,
    Section,
    Training,
)
from fedrobust.config.shipped import study_path
from fedrobust.config.sources import flattened, merged, nested, unflattened
from fedrobust.config.study_file import base_of, read_single_study_file, read_study_file
from fedrobust.config.tolerated import malicious_of, tolerated_of
from fedrobust.epsilon import epsilon_value
from fedrobust.errors import ConfigError, FedrobustError

QUICKSTART: dict[str, Any] = {
    "name": "quickstart",
    # From random weights and with 35 steps a client, a small network learns and MobileNetV2 does not. So few steps
    # also leave averaged moving statistics behind the weights: they are measured anew after each round.
    "model": {"name": "edge-cnn", "image-size": 28, "batchnorm-policy": "recalibrate"},
}


class Experiment(Section):
    """A study.

    Example:
        >>> experiment = Experiment.of(federation__clients=20)
        >>> experiment.federation.clients, experiment.data.name
        (20, 'phantom')
    """

    name: str = Field(
        "study", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, description="name of the study"
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="seed of all random numbers")
    data: Data = Data()
    model: Model = Model()
    federation: Federation = Federation()
    training: Training = Training()
    privacy: Privacy = Privacy()
    poisoning: Poisoning = Poisoning()
    evaluation: Evaluation = Evaluation()
    audit: Audit = Audit()
    distillation: Distillation = Distillation()
    export: Export = Export()
    engine: Engine = Engine()
    output: Output = Output()

    base: str = Field("", exclude=True, description="folder that relative paths are resolved against first")

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        if self.export.enabled and not self.distillation.enabled:
            raise ValueError(
                "export.enabled = true with distillation.enabled = false: it is the student that is exported; "
                "set export.enabled = false"
            )
        if self.audit.student and not (self.audit.enabled and self.distillation.enabled):
            raise ValueError(
                "audit.student = true: there is no student or no audit; set distillation.enabled and audit.enabled to "
                "true, or audit.student to false"
            )
        far = [one for one in (self.audit.epsilon, *self.audit.epsilons) if epsilon_value(one) > 1]
        if far and self.evaluation.norm == "linf":
            key = "epsilon" if far[0] == self.audit.epsilon else "epsilons"
            raise ValueError(f"audit.{key} = {shown(far[0])}: an epsilon lies in (0, 1]: pixels do")
        if isinstance(self.federation.tolerate, float) and self.federation.tolerate > 1:
            raise ValueError(
                f"federation.tolerate = {self.federation.tolerate}: a share from 0.0 to 1.0, or a whole number of "
                "clients"
            )
        if self.data.clients and self.data.name != "phantom":
            raise ValueError(
                f"data.name = {shown(self.data.name)} with data.clients: images come from one or the other; leave one "
                "out"
            )
        if self.data.clients and self.federation.clients > 1 and self.data.partition != "site":
            raise ValueError(
                f"data.partition = {shown(self.data.partition)} with data.clients: each client has its own file; set "
                'data.partition = "site"'
            )
        first, rounds = self.training.recipe_from, self.federation.rounds
        if first > rounds:
            raise ValueError(
                f"training.recipe-from = {first}: the study ends after round {rounds}; choose 1 to {rounds}"
            )
        try:
            check_names(
                self.data,
                self.model,
                self.federation,
                self.training,
                self.poisoning,
                self.evaluation,
                self.distillation,
                self.seed,
                self.base,
            )
        except FedrobustError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def malicious(self) -> tuple[int, ...]:
        """The ids of the malicious clients, ascending; empty without an attack."""
        return malicious_of(self.poisoning, self.federation.clients, self.seed)

    @property
    def tolerated(self) -> int:
        """The number of malicious clients in a round that the server's defence tolerates; see `tolerated_of`."""
        return tolerated_of(self.federation, self.poisoning, self.seed)

    @classmethod
    def load(cls, path: str | Path, overrides: Iterable[str] = (), **settings: Any) -> Self:
        """Read a study file, or the shipped study of that name, and apply overrides and settings to it.

        Args:
            path: of the file, or the name of a shipped study.
            overrides: ``key=value``.
            settings: ``section__key=value``.

        Raises:
            ConfigError: the file cannot be read, is a sweep, or a key, a type or a combination is wrong.
        """
        path = study_path(path)
        return cls._checked(read_single_study_file(path), str(path), overrides, settings, base=base_of(path))

    @classmethod
    def recorded(cls, path: str | Path) -> Self:
        """Read the study file of a run folder, also of an earlier version.

        Raises:
            ConfigError: the file cannot be read, or is no study.
        """
        path = Path(path)
        return cls._checked(read_study_file(path), str(path), (), {}, base=base_of(path), quiet=True)

    @classmethod
    def of(cls, overrides: Iterable[str] = (), **settings: Any) -> Self:
        """Return the defaults with ``key=value`` overrides and ``section__key=value`` settings applied.

        Raises:
            ConfigError: a key, a type or a combination is wrong.
        """
        return cls._checked({}, "", overrides, settings)

    @classmethod
    def from_keys(cls, keys: Mapping[str, Any], base: str = "") -> Self:
        """Return the defaults with dotted kebab-case `keys` changed; paths are resolved against the folder `base`.

        Nothing is told of old keys: who makes many studies tells it once.

        Raises:
            ConfigError: a key, a type or a combination is wrong.
        """
        return cls._checked(nested(keys), "", (), {}, base=base, quiet=True)

    @classmethod
    def quickstart(cls, overrides: Iterable[str] = (), **settings: Any) -> Self:
        """Return the default study: ten clients with phantom images, without downloads.

        Raises:
            ConfigError: an override's key, type or combination is wrong.
        """
        return cls._checked(copy.deepcopy(QUICKSTART), "", overrides, settings)

    def changed(self, overrides: Iterable[str] = (), **settings: Any) -> Self:
        """Return this study with ``key=value`` overrides and ``section__key=value`` settings applied.

        Raises:
            ConfigError: a key, a type or a combination is wrong.
        """
        return self._checked(self.to_dict(), "", overrides, settings, base=self.base)

    @classmethod
    def from_run_config(cls, run_config: Mapping[str, Any]) -> Self:
        """Return the experiment of Flower's flat run config (the inverse of `to_run_config`).

        Raises:
            ConfigError: a key, a type or a combination is wrong.
        """
        values = nested(unflattened(cls, run_config), "run config")
        return cls._checked(values, "run config", (), {}, base=str(run_config.get("base", "")))

    def to_run_config(self) -> dict[str, bool | int | float | str]:
        """Return the study as Flower's flat run config: dotted kebab-case keys, lists as TOML text.

        Settings that are not given are empty strings: Flower knows no null, and no key that an app does not declare.
        """
        return {"base": self.base, **flattened(type(self), self.to_dict())}

    def to_dict(self) -> dict[str, Any]:
        """Return the study as nested plain data with kebab-case keys, without unset settings."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def to_toml(self) -> str:
        """Return the study as the text of a study file."""
        import tomli_w

        return tomli_w.dumps(self.to_dict())

    @classmethod
    def _checked(
        cls,
        values: dict[str, Any],
        source: str,
        overrides: Iterable[str],
        settings: Mapping[str, Any],
        base: str = "",
        quiet: bool = False,
    ) -> Self:
        where = f"{source}: " if source else ""
        try:
            tables, told_of = without_old_keys(merged(values, where, overrides, settings), where)
            tell_of_old_keys([] if quiet else told_of, where)
            return cls.model_validate({**tables, "base": base})
        except RecursionError:
            raise ConfigError(f"{where}a value is nested too deeply") from None
        except pydantic.ValidationError as error:
            raise ConfigError("\n".join(where + line for line in explanations(cls, error.errors()))) from None
