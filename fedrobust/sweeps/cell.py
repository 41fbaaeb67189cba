"""One study of a sweep, and its hash."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fedrobust.config import Experiment, default
from fedrobust.config.old_keys import old_form
from fedrobust.study import Study
from fedrobust.study.file_digests import file_digests
from fedrobust.study.module_digests import module_digests
from fedrobust.sweeps.values import flattened, shown

NOT_CONTENT = ("name", "engine", "output")
"""Settings that do not change a cell's result, except a client-timeout of the engine that is set."""

MODULES = "module-digests"
"""The entry of a cell's content with the digests of own modules, by the settings that name them."""

ADDED = (
    "audit.control-input",
    "audit.control-labels",
    "data.clients",
    "data.held-out-sites",
    "data.site-shifts",
    "data.train-draw",
    "data.train-share",
    "distillation.gamma",
    "distillation.method",
    "distillation.mixup",
    "distillation.teacher",
    "data.multilabel",
    "evaluation.attacked-finding",
    "evaluation.baselines",
    "evaluation.clients",
    "evaluation.metrics",
    "evaluation.select-by",
    "evaluation.stop-after",
    "evaluation.validation",
    "federation.availability",
    "federation.average",
    "federation.non-finite",
    "federation.patience",
    "federation.postprocessors",
    "federation.sampling",
    "federation.secure-aggregation",
    "model.defence",
    "model.detector",
    "model.detector-rate",
    "model.head",
    "model.normalization",
    "model.removal",
    "poisoning.knowledge",
    "poisoning.on-failure",
    "privacy.delta",
    "privacy.example-clip",
    "privacy.example-epsilon",
    "privacy.example-noise",
    "privacy.force",
    "training.algorithm",
    "training.augmentations",
    "training.backbone-rate",
    "training.cache-features",
    "training.layers",
    "training.loss",
    "training.recipe-clients",
    "training.unfreeze",
    "training.warmup",
)
"""Settings that were added after the first results: at their defaults they are not part of a cell's hash."""

BEFORE = {"distillation.copies": 0}
"""Like it, for settings whose default differs from the former behaviour: with this value, or if their table is
switched off, they are not part of a cell's hash."""


@dataclass(frozen=True)
class Cell:
    """One study of a sweep.

    Attributes:
        settings: the swept keys with this cell's values.
        experiment: the whole study.
    """

    settings: Mapping[str, Any]
    experiment: Experiment

    @cached_property
    def hash(self) -> str:
        """The SHA-256 of its settings and the contents of its files, 16 hexadecimal digits."""
        return content_hash(self.experiment)

    @cached_property
    def graph_key(self) -> str:
        """The settings that determine compiled functions and loaded data."""
        return graph_key(self.experiment)

    @property
    def label(self) -> str:
        """The swept values in one line."""
        return ", ".join(f"{key.split('.')[-1]} {shown(value)}" for key, value in self.settings.items())


def content_hash(experiment: Experiment) -> str:
    """Return the hash of a study's content; see `content_of`."""
    text = json.dumps(content_of(experiment), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def content_of(experiment: Experiment) -> dict[str, Any]:
    """Return a study's settings except name, engine, output and data root, and the digests of its files, nested.

    With ``engine.client-timeout`` where it is set, because clients that exceed it are dropped. Also the digests
    of the user's own modules that settings name: a changed rule or attack is another cell.
    """
    values = {key: value for key, value in old_form(experiment.to_dict()).items() if key not in NOT_CONTENT}
    values["data"] = {key: value for key, value in values["data"].items() if key != "root"}
    for key, value in {**{key: default(Experiment, key) for key in ADDED}, **BEFORE}.items():
        table, _, name = key.partition(".")
        unused = key in BEFORE and not values[table].get("enabled", True)
        if unused or values[table].get(name) == value:
            values[table].pop(name, None)
    if limit := experiment.engine.client_timeout:
        values["engine"] = {"client-timeout": limit}
    # The table was added after the first results, too.
    values = {key: value for key, value in values.items() if key != "privacy" or value}
    modules = module_digests(flattened(values), experiment.base)
    study = Study.of(experiment)
    values["data-digest"] = study.dataset.digest
    # Networks in files were added after the first results.
    values |= {"network-digest": study.network_digest} if study.network_digest else {}
    files = file_digests(study)
    values |= {"file-digests": files} if files else {}
    values |= {MODULES: modules} if modules else {}
    return values


def graph_key(experiment: Experiment) -> str:
    """Return the settings that determine compiled functions and loaded data."""
    values = experiment.to_dict()
    training = {
        key: value for key, value in values["training"].items() if key not in ("learning-rate", "epochs")
    }
    return json.dumps([values["data"], values["model"], training], sort_keys=True)
