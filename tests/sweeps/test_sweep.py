"""From a sweep file to its cells."""

import warnings

import pytest

from fedrobust.checks import check_data
from fedrobust.config import ConfigError, Experiment
from fedrobust.study import Study
from fedrobust.sweeps.cell import content_hash
from fedrobust.sweeps.sweep import AxisNotice, Sweep, with_control
from fedrobust.sweeps.values import matches

FILE = """
name = "two"
seed = [0, 1]

[federation]
aggregator = ["mean", "median"]
pre-aggregators = [[], ["nnm"]]

[poisoning]
attack = "sign-flip"
malicious = [0.1, 2, [3, 4]]

[evaluation]
epsilons = [0.001, "1/255"]
"""


def written(tmp_path, text=FILE):
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    return path


def test_lists_are_multiplied_and_lists_of_lists_for_keys_that_are_lists(tmp_path):
    sweep = Sweep.load(written(tmp_path))
    assert len(sweep.cells) == 2 * 2 * 2 * 3
    assert set(sweep.axes) == {
        "seed",
        "federation.aggregator",
        "federation.pre-aggregators",
        "poisoning.malicious",
    }
    assert {cell.experiment.evaluation.epsilons for cell in sweep.cells} == {(0.001, "1/255")}
    assert {cell.experiment.poisoning.malicious for cell in sweep.cells} == {0.1, 2, (3, 4)}
    assert len({cell.hash for cell in sweep.cells}) == 24
    assert all(cell.experiment.base == str(tmp_path) for cell in sweep.cells)


@pytest.mark.parametrize("where", ["file", "override"])
def test_a_list_of_numbers_of_malicious_clients_is_swept_and_said_to_be(tmp_path, where):
    swept, one = "[0, 4]", "[[0, 4]]"
    base = 'name = "part"\n[poisoning]\nattack = "sign-flip"\nmalicious = '

    def loaded(value):
        path = written(tmp_path, base + (value if where == "file" else "1"))
        return Sweep.load(path, [f"poisoning.malicious={value}"] if where == "override" else [])

    with pytest.warns(
        AxisNotice, match=r"part: poisoning.malicious = \[0, 4\] is swept: .* write \[\[0, 4\]\]"
    ):
        cells = loaded(swept).cells
    assert [cell.experiment.poisoning.malicious for cell in cells] == [0, 4]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [cell.experiment.poisoning.malicious for cell in loaded(one).cells] == [(0, 4)]
        assert len(loaded("[0.1, 0.3]").cells) == len(loaded("[2, [0, 4]]").cells) == 2


def test_overrides_sweep_too(tmp_path):
    path = written(tmp_path)
    sweep = Sweep.load(path, ["seed=5", "poisoning.malicious=1", "federation.rounds=[1, 2, 3]"])
    assert len(sweep.cells) == 2 * 2 * 3
    assert {cell.experiment.seed for cell in sweep.cells} == {5}


def test_some_keys_vary_together_and_some_combinations_are_left_out(tmp_path):
    text = (
        'seed = [0, 1]\n[poisoning]\nattack = ["none", "alie"]\n'
        '[[sweep.together]]\nfederation.aggregator = "trimmed-mean"\nfederation.pre-aggregators = ["clipping"]\n'
        '[[sweep.together]]\nfederation.aggregator = "median"\n'
        '[[sweep.exclude]]\nfederation.aggregator = "median"\nseed = [1, 7]\n'
    )
    sweep = Sweep.load(written(tmp_path, text))
    assert len(sweep.cells) == 4 + 2
    pairs = {
        (c.experiment.federation.aggregator, c.experiment.federation.pre_aggregators) for c in sweep.cells
    }
    assert pairs == {("trimmed-mean", ("clipping",)), ("median", ())}
    assert {c.experiment.seed for c in sweep.cells if c.experiment.federation.aggregator == "median"} == {0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = []", r"seed = \[\]: a sweep needs at least one value"),
        ('seed = [0, "x"]', r'with seed = x: .*seed = "x"'),
        (
            "[federation]\naggregator = ['mean', 'krum(f=4)']",
            r"with federation.aggregator = krum\(f=4\): .*n >= 2f",
        ),
        ("[federation]\nround = [1]", r"federation\.round: unknown key, did you mean federation\.rounds"),
        ("[sweep]\nexcept = []", r"it may hold \[\[sweep.together\]\] and \[\[sweep.exclude\]\]"),
        ("[[sweep.exclude]]\nsead = 1", "unknown key sead"),
        ("seed = [0]\n[[sweep.exclude]]\nseed = 0", "no combination is left"),
        ("seed = [", "not a TOML file"),
    ],
)
def test_mistakes_are_told_before_anything_runs(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        Sweep.load(written(tmp_path, text))


def test_a_hash_knows_what_matters_and_nothing_else(tmp_path):
    base = Sweep.load(written(tmp_path)).cells[0].experiment
    assert content_hash(base) == content_hash(
        base.changed(
            name="other", engine__workers=7, output__dir="x", output__report=False, data__root="/tmp"
        )
    )
    assert content_hash(base) == content_hash(base.changed(engine__client_timeout=0.0))
    assert content_hash(base) != content_hash(base.changed(engine__client_timeout=30.0)), "it drops clients"
    assert content_hash(base) != content_hash(base.changed(seed=9))
    assert content_hash(base) != content_hash(base.changed(data__samples=999))
    # Settings that came later change the name of a cell that gives them, not of results that are older than they.
    assert content_hash(base) == content_hash(base.changed(federation__patience=3))
    assert content_hash(base) != content_hash(base.changed(federation__patience=4))
    assert content_hash(base) != content_hash(base.changed(poisoning__on_failure="mark"))


def test_patterns():
    assert matches({"seed": 1, "poisoning.attack": "alie"}, {})
    assert not matches({"seed": 1}, {"federation.rounds": 3})


def test_the_file_says_what_is_run_first_and_those_alike_stand_side_by_side(tmp_path):
    text = 'seed = [0, 1]\n[data]\nsamples = [300, 200]\n[model]\nname = ["resnet50", "mobilenetv2"]\n'
    cells = Sweep.load(written(tmp_path, text)).cells
    found = [(c.experiment.data.samples, c.experiment.model.name, c.experiment.seed) for c in cells]
    assert found == [
        (samples, model, seed)
        for samples in (300, 200)
        for model in ("resnet50", "mobilenetv2")
        for seed in (0, 1)
    ]


def test_some_cells_alone_can_be_asked_for(tmp_path):
    sweep = Sweep.load(written(tmp_path))
    some = sweep.only(["seed=1", "federation.aggregator=median", "poisoning.malicious=[3, 4]"])
    assert len(some.cells) == 2
    assert all(cell in sweep.cells for cell in some.cells)
    with pytest.raises(ConfigError, match=r"no cell has seed = 7; the sweep has .*seed: 0, 1"):
        sweep.only(["seed=7"])
    with pytest.raises(ConfigError, match="--only sead: unknown key"):
        sweep.only(["sead=1"])


@pytest.mark.parametrize(
    "swept",
    [
        {"poisoning.attack": ["none", "alie"], "poisoning.malicious": 3, "poisoning.knowledge": "own"},
        {
            "poisoning.attack": ["none", "sign-flip"],
            "poisoning.malicious": 3,
            "federation.availability": ["malicious: dropout(probability=0.5)"],
        },
        {
            "poisoning.attack": "sign-flip",
            "poisoning.malicious": [0, 3],
            "federation.availability": ["malicious: dropout(probability=0.5)", "honest: straggler"],
        },
    ],
)
def test_what_only_attackers_have_does_not_refuse_the_control(swept):
    sweep = Sweep.of("with-control", {"data.samples": 200, **swept})
    sweep.check(lambda experiment: check_data(Study(experiment)))
    control = next(cell.experiment for cell in sweep.cells if cell.experiment.poisoning.attack == "none")
    assert not any(line.startswith("malicious") for line in control.federation.availability)


def test_a_control_that_says_nothing_of_attackers_stays_as_it_is():
    control = Experiment.of(federation__availability=["0: straggler"])
    assert with_control(control) is control
