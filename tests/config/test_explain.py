"""Explanations of names: every name has one, and its example is a valid setting."""

import re
import tomllib

import pytest

from fedrobust.config import ConfigError, Experiment
from fedrobust.config.allowed import allowed
from fedrobust.config.explain import explain
from fedrobust.config.families import FAMILIES
from fedrobust.config.keys import keys
from fedrobust.config.sections import Data, Evaluation, Federation, Poisoning
from fedrobust.registry import UnknownNameError
from fedrobust.spec import Spec, build
from fedrobust.terminal.explanation import lines

MEMBERS = [(title, name) for title, family in FAMILIES.items() for name in family.registry]


@pytest.mark.parametrize(("title", "name"), MEMBERS)
def test_each_member_has_a_summary_and_an_example_that_builds(title, name):
    family = FAMILIES[title]
    found = [one for one in explain(name) if one.kind == family.registry.family and one.keys == family.keys]
    assert len(found) == 1
    assert found[0].text[0]
    assert found[0].kind == family.registry.family
    if family.keys:
        section, _, key = family.keys[0].partition(".")
        value = tomllib.loads(found[0].example)[section][key]
        spec = value[0] if isinstance(value, list) else value
        spec = spec.removeprefix("all: ")
    else:
        before, after = family.command.split("{}")
        spec = found[0].example.removeprefix(before).removesuffix(after)
        assert found[0].example == f"{before}{spec}{after}"
    assert Spec.parse(spec).name == name
    if title != "models":
        assert build(family.registry, spec) is not None


@pytest.mark.parametrize("key", keys(Experiment))
def test_each_key_has_a_meaning_its_default_and_allowed_values(key):
    found = next(one for one in explain(key) if one.kind == "setting" and one.name == key)
    assert len(found.text[0]) > 10
    assert found.settings[0].allowed
    # What the example shows can be written into a study file.
    if found.example and key not in ("federation.aggregator", "poisoning.attack"):
        assert tomllib.loads(found.example)


def test_values_of_keys_are_told_with_their_bounds():
    told = {
        "federation.participation": allowed(Federation.model_fields["participation"]),
        "federation.average": allowed(Federation.model_fields["average"]),
        "poisoning.malicious": allowed(Poisoning.model_fields["malicious"]),
        "evaluation.epsilons": allowed(Evaluation.model_fields["epsilons"]),
        "data.size": allowed(Data.model_fields["size"]),
    }
    assert told == {
        "federation.participation": "a number above 0, up to 1",
        "federation.average": "a number from 0, below 1",
        "poisoning.malicious": "a whole number or a number or a list, each a whole number",
        "evaluation.epsilons": 'a list, each a number above 0, or a fraction such as "8/255"',
        "data.size": "28, 64, 128 or 224",
    }


def test_spelling_is_forgiven_and_a_name_may_mean_several_things():
    assert [one.kind for one in explain("POISONING")] == ["family", "table of a study file", "shipped study"]
    assert explain("Pixel_Backdoor(target=1)")[0].name == "pixel-backdoor"
    assert [one.name for one in explain("epsilon")] == ["audit.epsilon"]
    assert explain("chestmnist")[0].text[1].startswith("It is multi-label")
    assert explain("sweep")[0].example == "fedrobust bench sweep"


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("kurm", "krum"), ("federation.client", "federation.clients"), ("breastmnits", "breastmnist")],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(wrong, meant):
    with pytest.raises(UnknownNameError, match=f'did you mean "{re.escape(meant)}"'):
        explain(wrong)


@pytest.mark.parametrize("name", ["alie", "federation", "model.name", "breast", "data"])
def test_lines_fit_into_80_columns_without_broken_words(name):
    for one in explain(name):
        words = " ".join(one.text).split()
        shown = list(lines(one, 80))
        assert all(len(line) <= 80 for line in shown)
        assert words == " ".join(shown).split()[1 + len(one.kind.split()) :][: len(words)]


def test_choices_are_forgiven_their_spelling_and_the_nearest_one_is_named():
    study = Experiment.of(
        ["audit.effort=Quick", 'export.formats=["Float32"]', "Evaluation.select_by=Worst_Client"]
    )
    assert (study.audit.effort, study.export.formats) == ("quick", ("float32",))
    assert study.evaluation.select_by == "worst-client"
    with pytest.raises(ConfigError, match=r'engine\.name = "thread": .*, did you mean "threads"\?'):
        Experiment.of(["engine.name=thread"])
