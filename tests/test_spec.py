"""Specs: how they are read, and that every registered setting of every family is checked by type and bounds."""

import dataclasses
import math

import pytest

from fedrobust.bounds import annotations_of, refusal
from fedrobust.config.families import FAMILIES
from fedrobust.errors import FedrobustError
from fedrobust.registry import UnknownNameError
from fedrobust.spec import REQUIRED, Spec, SpecError, build, settings_of


@pytest.mark.parametrize("family", FAMILIES)
def test_every_setting_is_bounded_and_what_it_cannot_be_is_refused_by_name(family):
    registry = FAMILIES[family].registry
    for member in registry:
        annotations = annotations_of(registry[member]) if isinstance(registry[member], type) else {}
        for setting, default in (settings_of(registry[member]) or {}).items():
            if setting == "surrogate" or default is REQUIRED:  # a model, or lists that have no default
                continue
            annotation, where = annotations[setting], f"{member}({setting}=...)"
            assert not refusal(annotation, default), where
            listed = isinstance(default, tuple)
            wrong = [[0], [1.5], [[]]] if listed else [[]]
            wrong += [{}, 1j, "", math.inf, -math.inf, math.nan, -1e39]
            wrong += [0, 1] if isinstance(default, bool) else [True]
            wrong += [2.5, 2.0] if isinstance(default, int) else []
            wrong += [None] if default is not None else []
            # Names of other things, texts and epsilons are strings of many kinds; all other strings are choices.
            wrong += ["no such value"] if setting not in ("attack", "recipe", "student", "text") else []
            for value in wrong:
                assert refusal(annotation, value), f"{where}: {value!r} is taken"
            for text in ("{}", "1e999", "[0]" if listed else "[1]"):
                with pytest.raises(SpecError, match=rf"{setting} = .*: choose "):
                    build(registry, f"{member}({setting}={text})")


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("pre-aggregators", "bucketing(size=0)"),
        ("rules", "dnc(share=0)"),
        ("rules", "dnc(coordinates=0.5)"),
        ("rules", "norm-clipping(noise=-0.1)"),
        ("rules", "fldetector(window=0)"),
        ("rules", "multi-krum(m=-1)"),
        ("rules", "trimmed-mean(f=-1)"),
        ("rules", "signguard(coordinates=1.1)"),
        ("rules", "mean(weighting='size')"),
        ("server-optimizers", "fedadam(beta_2=1)"),
        ("server-optimizers", "fedyogi(tau=0)"),
        ("poisoning", "label-flip(share=1.01)"),
        ("poisoning", "scaling(factor=1e39)"),
        ("poisoning", "distributed-backdoor(parts=0)"),
        ("poisoning", "pixel-backdoor(value=256)"),
        ("poisoning", "pgd-images(steps=1.5)"),
        ("poisoning", "pgd-images(epsilon='8/255/3')"),
        ("poisoning", "fang-trimmed-mean(b=1)"),
        ("poisoning", "norm-bound(stretch=1)"),
    ],
)
def test_settings_beyond_their_bounds_are_refused_with_what_is_allowed(family, text):
    (setting,) = Spec.parse(text).settings
    with pytest.raises(SpecError, match=f"{setting} = .*: choose "):
        build(FAMILIES[family].registry, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("krum(f=1)+krum(f=2)", "number, a quoted string or a list"),
        ("krum(f=1, f=2)", "given twice"),
        ("krum(**{'f': 1})", "name=value"),
        ("krum(f=print)", "number, a quoted string or a list"),
        ("krum(f=" + "[" * 3000 + ")", "number, a quoted string or a list"),
        ("krum(f=" + "9" * 4200 + ")", "write a name"),
        ("krum(f=" + "9" * 2000 + ")", "f = 9+"),
        ("krum(", "write a name"),
        ("", "write a name"),
    ],
)
def test_what_is_no_spec_is_refused_shortly(text, message):
    from fedrobust.aggregation import RULES

    with pytest.raises(SpecError, match=message) as error:
        build(RULES, text)
    assert len(str(error.value)) < 300


def test_names_forgive_case_and_underscores_where_one_thing_is_meant():
    from fedrobust.aggregation import RULES, TrimmedMean

    assert build(RULES, "Trimmed_Mean(F=1)") == TrimmedMean(f=1)
    with pytest.raises(UnknownNameError, match='did you mean "trimmed-mean"'):
        build(RULES, "trimedmean")
    with pytest.raises(SpecError, match="no setting 'steps1', did you mean \"steps\""):
        build(RULES, "dnc(steps1=2)")


@dataclasses.dataclass(frozen=True)
class Own:
    """A user's own thing."""

    size: int
    words: tuple[str, ...] = ()
    many: list[int] = dataclasses.field(default_factory=lambda: [1, 2])

    def __post_init__(self) -> None:
        if self.size == 13:
            raise KeyError("thirteen")


def untyped(size, more=2):
    """Return a user's own thing, made by a function without types."""
    return size + more


def test_own_things_are_checked_as_far_as_can_be_known():
    from fedrobust.aggregation import RULES

    here = f"{__name__}:"
    assert build(RULES, here + "Own(size=2)") == Own(2)
    assert settings_of(Own) == {"size": REQUIRED, "words": (), "many": [1, 2]}
    for text, message in {
        "Own": "needs the setting size: a whole number",
        "Own(size=2.0)": "size = 2.0: choose a whole number",
        "Own(size=2, words=[1])": "words = ",
        "Own(size=13)": "thirteen",
        "untyped(size='a')": "can only concatenate|must be str",
        "untyped(length=1)": "length",
        "missing": "has no 'missing'",
        "REQUIRED": "no class or function",
    }.items():
        with pytest.raises(FedrobustError, match=message):
            build(RULES, here + text)


def test_a_module_that_fails_is_told_with_its_file_and_line(tmp_path, monkeypatch):
    from fedrobust.aggregation import RULES

    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_rule.py").write_text("x = 1\ny = x / 0\n")
    (tmp_path / "torn_rule.py").write_text("def f(:\n")
    with pytest.raises(UnknownNameError, match=r"ZeroDivisionError.*broken_rule\.py, line 2"):
        build(RULES, "broken_rule:Rule")
    with pytest.raises(UnknownNameError, match=r"SyntaxError.*torn_rule\.py, line 1"):
        build(RULES, "torn_rule:Rule")
    with pytest.raises(UnknownNameError, match="No module named 'nowhere_rule'"):
        build(RULES, "nowhere_rule:Rule")


def test_a_list_among_settings_becomes_a_tuple_so_that_the_thing_can_be_hashed():
    from fedrobust.aggregation import RULES

    one, other = (build(RULES, f"mean(sizes={sizes})") for sizes in ("[120, 80]", "(120, 80)"))
    assert one == other
    assert hash(one) == hash(other)
    assert one.sizes == (120, 80)
