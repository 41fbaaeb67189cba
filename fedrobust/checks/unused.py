"""Settings that do nothing: refused, or told where a sweep may vary the one that they belong to."""

from collections.abc import Iterator, Sequence

from fedrobust.config import Experiment
from fedrobust.config.messages import shown
from fedrobust.config.sections import Data
from fedrobust.config.sections.section import Section
from fedrobust.config.sections.training import unfrozen
from fedrobust.spec import Spec

PHANTOM = ("samples", "classes", "channels", "multilabel")
"""Keys of ``[data]`` of which only the phantom set is drawn."""


def refused(study: Experiment) -> Iterator[str]:
    """Settings have what they belong to, and lists name each thing once."""
    audit, rounds = study.audit, study.federation.rounds
    for name in ("control_input", "control_labels"):
        if getattr(audit, name) and not audit.control:
            yield f"{_given('audit', audit, name)} does nothing without audit.control: take it out, or name a control"
    late = [line for line in study.training.unfreeze if unfrozen(line)[0] > rounds]
    if late:
        yield (
            f'training.unfreeze = {list(study.training.unfreeze)}: "{late[0]}" does nothing with federation.rounds = '
            f"{rounds}: take it out, or choose a round from 2 to {rounds}"
        )
    if study.export.enabled and study.distillation.enabled and not study.export.formats:
        yield (
            "export.enabled = true does nothing with export.formats = []: name a format, or set export.enabled = false"
        )
    yield from _twice("export.formats", study.export.formats, study.export.formats)
    yield from _twice("evaluation.baselines", study.evaluation.baselines, study.evaluation.baselines)
    attacks = study.evaluation.attacks
    yield from _twice("evaluation.attacks", attacks, [Spec.parse(attack) for attack in attacks])


def told(study: Experiment) -> list[str]:
    """Return sentences on settings that do nothing beside another one, which a sweep may vary.

    Example:
        >>> told(Experiment.of(data__name="breastmnist", data__samples=500))
        ['data.samples = 500 does nothing with data.name = "breastmnist": it is of the phantom set; to train on fewer \
images set data.train-share']
        >>> told(Experiment.of(data__samples=500))
        []
    """
    said = [*_of_other_data(study)]
    for section, name, partner, key, used in (
        ("evaluation", "select_by", "evaluation", "select", study.evaluation.select == "best"),
        ("distillation", "gamma", "distillation", "teacher", study.distillation.teacher == "class-logits"),
        ("data", "train_draw", "data", "train_share", study.data.train_share < 1),
    ):
        table = getattr(study, section)
        if getattr(table, name) != type(table).model_fields[name].default and not used:
            said.append(
                f"{_given(section, table, name)} does nothing with {_given(partner, getattr(study, partner), key)}"
            )
    model = study.model
    if model.batchnorm_policy in ("average", "recalibrate", "moments") and model.normalization == "group":
        said.append(
            f"{_given('model', model, 'batchnorm_policy')} does nothing with {_given('model', model, 'normalization')}"
        )
    return said


def _of_other_data(study: Experiment) -> Iterator[str]:
    """Yield the settings of drawn or published images that own or published files do not heed."""
    data, public = study.data, study.distillation.public
    where = f"data.clients = {list(data.clients)}" if data.clients else f"data.name = {shown(data.name)}"
    is_file = bool(data.clients) or data.name.lower().endswith(".npz")
    if (data.name.lower() != "phantom" or data.clients) and public.lower() != "phantom":
        for name in PHANTOM:
            if getattr(data, name) != Data.model_fields[name].default:
                advice = "; to train on fewer images set data.train-share" if name == "samples" else ""
                yield f"{_given('data', data, name)} does nothing with {where}: it is of the phantom set{advice}"
    if (
        is_file
        and data.size != Data.model_fields["size"].default
        and (not public or public.lower().endswith(".npz"))
    ):
        yield f"{_given('data', data, 'size')} does nothing with {where}: the file's images have their own size"


def _given(section: str, table: Section, name: str) -> str:
    return f"{section}.{name.replace('_', '-')} = {shown(getattr(table, name))}"


def _twice(key: str, values: Sequence[str], things: Sequence[object]) -> Iterator[str]:
    again = [value for place, value in enumerate(values) if things[place] in things[:place]]
    if again:
        yield f"{key} = {list(values)}: {again[0]} stands twice; take one out"
