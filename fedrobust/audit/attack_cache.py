"""Runs the attacks of an audit, each once, with results stored on disk, so that an interrupted audit can be resumed."""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fedrobust.atomic import atomic, cannot_write
from fedrobust.audit.model_under_audit import ModelUnderAudit
from fedrobust.audit.plan import Plan
from fedrobust.audit.result import Result
from fedrobust.code_digest import code_digest
from fedrobust.data.archive import DAMAGE
from fedrobust.evasion import (
    Attacked,
    BoundModel,
    NotDifferentiableError,
    Progress,
    TargetModel,
    Threat,
    attack,
    attack_named,
)
from fedrobust.evasion.contract import Attack
from fedrobust.evasion.models.hidden_layers import ReadOut, hidden_read_outs
from fedrobust.evasion.models.protocol import Logits, asked_again, decided, deciding_calls, passes_per_call
from fedrobust.evasion.models.wrappers import Averaged
from fedrobust.evasion.rng import keys_of, uniform
from fedrobust.evasion.run import Map
from fedrobust.evasion.threat import Images

SAMPLE = 256
"""Number of images for checks of the model itself."""

PIECE = 512
"""Number of images that are attacked before results are stored."""

Report = Callable[[str, Progress], None]


class AttackCache:
    """Runs attacks on an audited model and stores their results.

    Args:
        audited: the model and its images.
        plan: the audit's settings.
        folder: of stored results; None: nothing is stored.
        map: runs chunks of images in parallel.
        report: called with an attack's name and progress.
    """

    def __init__(
        self,
        audited: ModelUnderAudit,
        plan: Plan,
        folder: Path | None = None,
        map: Map = map,
        report: Report = lambda name, progress: None,
    ):
        self.audited, self.plan = audited, plan
        self._folder, self._map, self._report = folder, map, report
        self._results: dict[str, Result] = {}
        # Everything that an attack depends on: other code or images must not find its result.
        self._mark = [code_digest(), audited.digest, audited.reading, _images_digest(audited), plan.seed]
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise cannot_write(folder, error) from error

    @cached_property
    def hidden_layers(self) -> list[ReadOut]:
        """Read-outs of hidden layers with other gradients than the model's; see `hidden_read_outs`."""
        if not isinstance(self.audited.target, BoundModel) or self.target is not self.audited.target:
            return []
        if not self.differentiable:
            return []
        return hidden_read_outs(self.audited.target, self.audited.images[self.sampled])

    @cached_property
    def clean(self) -> Logits:
        """Logits of the clean images; a wrong prediction where they are not finite."""
        return decided(self.raw_logits, self.audited.labels)

    @cached_property
    def raw_logits(self) -> Logits:
        """Logits of the clean images, which may be non-finite; of a stochastic model as adversaries are confirmed."""
        return asked_again(self.target, self.audited.images, deciding_calls(passes_per_call(self.target)))

    @cached_property
    def varying(self) -> dict[str, int]:
        """Numbers of `sampled` images whose logits vary over five passes, for 8-bit and other images."""
        images = self.audited.images[self.sampled]
        keys = keys_of(self.plan.seed, self.sampled)
        bound = self.plan.value
        moved = images + np.float32(bound) * (2 * uniform(keys, 1, images.shape[1:]) - 1).astype(np.float32)
        between = self.plan.threat.project(moved, images, bound)
        return {
            "clean": _varying(self.audited.target, images),
            "moved": _varying(self.audited.target, between),
        }

    @cached_property
    def sampled(self) -> NDArray[np.int64]:
        """Indices of the images for checks of the model itself, ascending."""
        return spread(np.arange(len(self.audited)), SAMPLE)

    @cached_property
    def target(self) -> TargetModel:
        """The attacked model: of a stochastic model the mean of several outputs (EOT)."""
        if any(self.varying.values()):
            return Averaged(self.audited.target, self.plan.draws)
        return self.audited.target

    @property
    def confirmed(self) -> int:
        """Outputs of a stochastic model whose mean decides whether a clean image or an adversary is misclassified."""
        return deciding_calls(self.plan.draws) * self.plan.draws

    def averaged(self, other: TargetModel) -> TargetModel:
        """Return a variant of the model as it is attacked: of a stochastic model the mean of several outputs (EOT)."""
        return other if self.target is self.audited.target else Averaged(other, self.plan.draws)

    @cached_property
    def substituted(self) -> tuple[TargetModel, tuple[str, ...]] | None:
        """The model with substitute gradients (BPDA), and the replaced operations; None without such operations."""
        if not isinstance(self.audited.target, BoundModel):
            return None
        kinds = self.audited.target.compiled.replaceable
        if not kinds:
            return None
        other = self.audited.target.substituted()
        if other.compiled.obstacle:  # an operation without gradient and without substitute
            return None
        return self.averaged(other), kinds

    @cached_property
    def softened(self) -> TargetModel | None:
        """The model with the gradients of soft roundings (BPDA); None if it does not round to the nearest."""
        if self.substituted is None or not {"Round", "Rint"} & set(self.substituted[1]):
            return None
        return self.averaged(cast(BoundModel, self.audited.target).substituted("soft"))

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """The mask of correctly classified clean images."""
        return self.clean.argmax(axis=1) == self.audited.labels

    @cached_property
    def differentiable(self) -> bool:
        """Whether the model has gradients."""
        try:
            self.target.gradient(self.audited.images[:1], self.audited.labels[:1], "margin")
        except NotDifferentiableError:
            return False
        return True

    def run(
        self,
        spec: str | Attack,
        epsilons: Sequence[float] | None = None,
        *,
        target: TargetModel | None = None,
        of: str = "",
        rows: NDArray[np.bool_] | None = None,
        nested: bool | None = None,
        threat: Threat | None = None,
    ) -> Result:
        """Return the result of an attack, which is run at most once.

        Args:
            spec: the attack.
            epsilons: the plan's if None.
            target: another model to attack than the audited one.
            of: name of that model.
            rows: (n,) mask of the images to attack; None: all.
            nested: see `attack`; None: as the attack's `nests`.
            threat: another threat model than the plan's.
        """
        wanted = tuple(sorted(epsilons or (self.plan.value,)))
        chosen = np.arange(len(self.audited)) if rows is None else np.flatnonzero(rows)
        name = f"{of}: {spec}" if of else str(spec)
        nested = attack_named(spec).nests if nested is None else nested
        key = json.dumps([name, wanted, nested, str(threat or self.plan.threat), _digest(chosen)])
        if key not in self._results:
            self._results[key] = self._run(name, key, spec, wanted, target, chosen, nested, threat)
        return self._results[key]

    @property
    def results(self) -> list[Result]:
        """All results, in the order in which attacks were run."""
        return list(self._results.values())

    def _run(
        self,
        name: str,
        key: str,
        spec: str | Attack,
        epsilons: tuple[float, ...],
        target: TargetModel | None,
        rows: NDArray[np.int64],
        nested: bool,
        threat: Threat | None,
    ) -> Result:
        audited, model = self.audited, target or self.target
        if not len(rows):
            none = np.zeros((len(epsilons), 0, model.classes), np.float32)
            return Result(name, epsilons, rows, none[:, :, 0] > 0, none, 0.0, 0.0, 0.0, 0)
        # Attacks that learn from all images together are not split.
        whole = type(attack_named(spec)).prepared is not Attack.prepared
        count = 1 if whole else -(-len(rows) // PIECE)
        pieces = []
        for number, part in enumerate(np.array_split(rows, count)):

            def run(part: NDArray[np.int64] = part) -> Attacked:
                return attack(
                    model,
                    audited.images[part],
                    audited.labels[part],
                    spec,
                    threat or self.plan.threat,
                    epsilons,
                    self.plan.seed,
                    nested=nested,
                    keep_images=False,
                    places=part,
                    map=self._map,
                    chunk=max(32, min(256, -(-len(part) // 2))),
                    report=lambda progress: self._report(name, progress),
                )

            pieces.append(self._kept(f"{key}:{number}", run))
        self._report(name, Progress(1, 0))
        return Result(
            name,
            epsilons,
            rows,
            np.concatenate([piece["success"] for piece in pieces], axis=1),
            np.concatenate([piece["logits"] for piece in pieces], axis=1),
            float(np.concatenate([piece["queries"] for piece in pieces]).mean()),
            float(np.concatenate([piece["gradients"] for piece in pieces]).mean()),
            float(sum(piece["seconds"] for piece in pieces)),
            int(sum(piece["shared"][0] for piece in pieces)),
        )

    def _kept(self, key: str, run: Callable[[], Attacked]) -> dict[str, np.ndarray]:
        """Return an attack's arrays from the disk, or run the attack and store them."""
        names = ("success", "logits", "queries", "gradients", "seconds", "shared")
        path = None
        if self._folder is not None:
            mark = json.dumps([*self._mark, key]).encode()
            path = self._folder / f"{hashlib.sha256(mark).hexdigest()[:16]}.npz"
            # If the file is missing or damaged, the attack is run.
            with suppress(*DAMAGE), np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in names}
        done = run()
        arrays = {name: np.asarray(getattr(done, name)) for name in names}
        if path is not None:
            with atomic(path) as draft:
                np.savez_compressed(draft, **arrays)
        return arrays


def spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most `most` rows, evenly spaced, because a file may be ordered by class.

    Example:
        >>> spread(np.arange(10), 4).tolist(), spread(np.arange(3), 4).tolist()
        ([0, 3, 6, 9], [0, 1, 2])
    """
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _varying(target: TargetModel, images: Images) -> int:
    """Return the number of images whose logits differ by over 1/1000 of the largest logit over five passes."""
    passes = np.stack([target.logits(images) for _ in range(5)])
    scale = np.maximum(np.abs(passes[0]).max(axis=1), np.finfo(np.float32).tiny)
    # Non-finite logits count as different.
    return int((~((np.abs(passes - passes[0]).max(axis=(0, 2)) / scale) <= 1e-3)).sum())


def _images_digest(audited: ModelUnderAudit) -> str:
    sha = hashlib.sha256(np.ascontiguousarray(audited.images).tobytes())
    sha.update(np.ascontiguousarray(audited.labels, "<i4").tobytes())
    return sha.hexdigest()


def _digest(rows: NDArray[np.int64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows, "<i8").tobytes()).hexdigest()[:16]
