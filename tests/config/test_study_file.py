"""Study files that are none, and values that hang, hide or overflow."""

import time

import numpy as np
import pytest

from fedrobust.config import ConfigError, Experiment
from fedrobust.config.study_file import base_of, read_study_file, toml_value
from fedrobust.epsilon import epsilon_value
from fedrobust.sweeps.sweep import Sweep


@pytest.mark.parametrize("load", [Experiment.load, Sweep.load], ids=["study", "sweep"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b" \n\t\n", "the file is empty"),
        (b"\xff\xfes\x00e\x00", r"not UTF-8 text \(byte 0\)"),
        (b"name = 'caf\xe9'\n", r"not UTF-8 text \(byte 11\)"),
        (b"seed = 1\nseed = 2\n", "a key or a table is given twice"),
        (b"[data]\nsize = 28\n[data]\nsize = 64\n", "a key or a table is given twice"),
        (b"x = " + b"[" * 100_000, "nested too deeply"),
        (b"x = " + b"{a=" * 100_000, "nested too deeply"),
        (b"[" + b"a." * 5000 + b"a]\n", "nested too deeply"),
        (b"a." * 5000 + b"a = 1\n", "nested too deeply"),
        (b"#" * (2**20 + 1), "longer than 1 MB"),
        (b"seed = 1\x00\n", "not a TOML file"),
        (b"seed = \n", "not a TOML file"),
        (b"[federation\n", "not a TOML file"),
        (b"seed = 99999999999999999999\n", "seed: a whole number of more than 64 bits"),
        (b"[training]\nlearning-rate = inf\n", r"learning-rate = inf"),
        (b"[training]\nlearning-rate = nan\n", r"learning-rate = nan"),
        (b"[data]\nalpha = 1e999\n", r"data\.alpha = inf"),
        (b"[engine]\nclient-timeout = inf\n", r"client-timeout = inf"),
        (b"overrides = 1\n", "overrides: unknown key"),
        (b"cls = 1\n", "cls: unknown key"),
        (b"base = 'x'\n", "base: unknown key"),
        (b"[a.b.c]\nd = 1\n", "a: unknown key|unknown key"),
    ],
)
def test_what_is_no_study_file_is_refused_in_words_and_at_once(tmp_path, load, content, message):
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as error:
        load(path)
    assert len(str(error.value)) < 2000


def test_a_byte_order_mark_and_other_line_ends_are_read(tmp_path):
    path = tmp_path / "study.toml"
    path.write_bytes(b"\xef\xbb\xbfseed = 3\r\n[federation]\r\nclients = 4\r\n")
    assert Experiment.load(path).seed == 3
    assert read_study_file(path) == {"seed": 3, "federation": {"clients": 4}}


def test_a_folder_and_a_missing_file_are_told(tmp_path):
    for path in (tmp_path, tmp_path / "none.toml", "a\x00b.toml"):
        with pytest.raises(ConfigError, match="cannot be read"):
            Experiment.load(path)


def test_a_sweep_given_as_a_study_is_told_once_with_its_command(tmp_path):
    """Not the errors of its lists of values."""
    path = tmp_path / "mine.toml"
    path.write_text('seed = [0, 1]\n[sweep]\n"training.recipe" = ["plain", "pgd"]\n', encoding="utf-8")
    for name, shown in ((path, path), ("which-defence", "experiments/which-defence.toml")):
        with pytest.raises(ConfigError, match="a sweep of many studies, because it has") as error:
            Experiment.load(name)
        assert f"{shown}` runs them" in str(error.value)
        assert "valid integer" not in str(error.value)


@pytest.mark.parametrize(
    "epsilon",
    [
        "8/255/3",
        "9e99999999/1",
        "1/9e99999999",
        "1e1000",
        "8px",
        "2/255,4/255",
        "1_0/255",
        "\u0668/255",
        "\u00bd",
        "1/0",
        "0/0",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "",
        " ",
        "/",
        "8/",
        "/255",
        "8 255",
        "0x8/255",
        "9" * 100_000,
        "1/" + "9" * 100_000,
        float("nan"),
        float("inf"),
        10**400,
        True,
        None,
        [1],
        {"a": 1},
        b"8/255",
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_epsilon_is_refused(epsilon):
    with pytest.raises(ConfigError, match="an epsilon is a finite number or one fraction") as error:
        epsilon_value(epsilon)
    assert len(str(error.value)) < 250


@pytest.mark.parametrize(
    ("epsilon", "value"),
    [
        ("8/255", 8 / 255),
        (" 8 / 255 ", 8 / 255),
        ("0.5/255", 0.5 / 255),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("1.", 1.0),
        ("+2/255", 2 / 255),
        ("1e-3/2e-3", 0.5),
        (0.005, 0.005),
        (1, 1.0),
    ],
)
def test_epsilons_are_numbers_and_fractions(epsilon, value):
    assert epsilon_value(epsilon) == value


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=1\nname=2", "seed"),
        ("seed=" + "[" * 50_000, "seed"),
        ("a.b.c.d=1", "unknown key"),
        ("federation.clients=1e400", r"federation\.clients = inf"),
        ("federation.clients=9000000", r"less than or equal to 1000000"),
        ("federation.tolerate=1.5", "a share from 0.0 to 1.0"),
        ("poisoning.malicious='x'", r'poisoning\.malicious = "x": .*integer or a valid number or a list'),
        ("poisoning.malicious=true", r"poisoning\.malicious = True"),
        ("poisoning.malicious=[1.5]", r"poisoning\.malicious"),
        ("training.batch-size=100000", r"less than or equal to 65536"),
        ("training.epsilon=2", r"lies in \(0, 1\]"),
        ("audit.epsilon=8", r"audit\.epsilon = 8: an epsilon lies in \(0, 1\]"),
        ("audit.epsilon=0", "an epsilon is above 0"),
        ("evaluation.epsilons=0.1", r"evaluation\.epsilons = 0\.1: .*list"),
        ("distillation.temperature=inf", r"temperature = inf"),
        ("training.recipe=pdg", r'did you mean "pgd"'),
        ("evaluation.attacks=['deep-fool']", r'did you mean "deepfool"'),
        ("federation.server-optimizer=fedadm", r'did you mean "fedadam"'),
        ("poisoning.attack=sign-flop", r'did you mean "sign-flip"'),
        ("federation.pre-aggregators=['nmm']", r'did you mean "nnm"'),
    ],
)
def test_values_that_overflow_or_are_misspelt_are_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        Experiment.of([override])


def test_one_thing_has_one_name_in_all_records():
    written = Experiment.of(
        ["training.recipe=PGD", "evaluation.attacks=['PGD(steps=2)', 'MI_FGSM']"],
        federation__aggregator="Trimmed_Mean(f=1)",
        federation__pre_aggregators=["NNM"],
        federation__server_optimizer="FedAdam",
        poisoning__attack="Pixel_Backdoor + Scaling(factor=2)",
    )
    assert written == Experiment.of(
        ["training.recipe=pgd", "evaluation.attacks=['pgd(steps=2)', 'mi-fgsm']"],
        federation__aggregator="trimmed-mean(f=1)",
        federation__pre_aggregators=["nnm"],
        federation__server_optimizer="fedadam",
        poisoning__attack="pixel-backdoor + scaling(factor=2)",
    )
    own = "my_module:Own_Rule(A=1)"
    assert Experiment.of(federation__aggregator=own).federation.aggregator == own


@pytest.mark.parametrize("text", ["1\nseed = 2", "[" * 10_000, "a.b", "", "= 1", "1 2"])
def test_what_is_no_value_is_a_string(text):
    assert toml_value(text) == text


def sweep(tmp_path, text, name="sweep.toml"):
    path = tmp_path / name
    path.write_text(text)
    return Sweep.load(path)


def test_a_sweep_of_a_million_cells_is_refused_before_it_is_built(tmp_path):
    many = list(range(1000))
    began = time.process_time()
    with pytest.raises(ConfigError, match=r"1,000,000 combinations; a sweep has 10,000 at most"):
        sweep(tmp_path, f"seed = {many}\n[training]\nepochs = {many}\n")
    assert time.process_time() - began < 60, "nothing near to building a million studies"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = [1, 1]\n", "one value stands twice"),
        ("seed = []\n", "at least one value"),
        ("sweep = 3\n", r"\[sweep\] holds"),
        ("[sweep]\nexclude = [1]\n", r"write \[\[sweep.exclude\]\] tables"),
        ("name = ['a', 'b']\n", "a sweep has one name"),
        ("seed = [0, 1]\n[[sweep.together]]\nseed = 2\n", r"seed: it is a list, and stands in"),
        (
            "seed = [0, 1, 2]\n[federation]\nrule = 'mean'\n",
            r"3 of 3 cells, the first with seed = 0: federation\.rule: unknown key",
        ),
        (
            "seed = [0, 1]\n[federation]\naggregator = ['mean', 'krum(f=9)', 'krumm']\n",
            r"2 of 6 cells, the first with seed = 0, federation\.aggregator = krum\(f=9\)",
        ),
    ],
)
def test_what_is_no_sweep_is_told_once(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as error:
        sweep(tmp_path, text)
    assert len(str(error.value).splitlines()) <= 2


def test_a_sweep_is_named_by_its_file(tmp_path):
    assert sweep(tmp_path, "seed = [0, 1]\n", "my sweep (2).toml").name == "my-sweep-2"
    assert sweep(tmp_path, "seed = [0, 1]\n", "\u00e9.toml").name == "sweep"


def test_the_control_of_a_sweep_over_attacks_has_no_attackers_and_the_same_rule(tmp_path):
    cells = sweep(
        tmp_path,
        "[federation]\naggregator = ['mean', 'krum']\n"
        "[poisoning]\nattack = ['none', 'sign-flip']\nmalicious = 3\n",
    ).cells
    assert len(cells) == 4
    for cell in cells:
        poisoning, federation = cell.experiment.poisoning, cell.experiment.federation
        attacked = cell.settings["poisoning.attack"] == "sign-flip"
        assert poisoning.malicious == (3 if attacked else 0)
        assert federation.tolerate == (None if attacked else 3)


def test_a_sweep_over_attackers_has_its_control_at_0(tmp_path):
    cells = sweep(tmp_path, "[poisoning]\nattack = 'sign-flip'\nmalicious = [0, 0.04, 2]\n").cells
    assert [cell.experiment.poisoning.attack for cell in cells] == ["none", "sign-flip"]
    assert [cell.settings["poisoning.malicious"] for cell in cells] == [0, 2]
    # A study of its own, and a sweep over something else, say what they mean themselves.
    cells = sweep(tmp_path, "seed = [0, 1]\n[poisoning]\nmalicious = 3\n").cells
    assert all(cell.experiment.poisoning.malicious == 3 for cell in cells)


@pytest.mark.parametrize(
    ("name", "content", "is_used"),
    [
        ("experiment.toml", '{"folder": "HERE/study"}', True),
        ("mine.toml", '{"folder": "HERE/study"}', False),
        ("experiment.toml", '{"folder": "HERE/gone"}', False),
        ("experiment.toml", '{"folder": "study"}', False),
        ("experiment.toml", '{"folder": 3}', False),
        ("experiment.toml", '{"folder": "\\u0000"}', False),
        ("experiment.toml", "{}", False),
        ("experiment.toml", "[]", False),
        ("experiment.toml", "no JSON", False),
        ("experiment.toml", "[" * 100_000, False),
        ("experiment.toml", None, False),
    ],
)
def test_a_run_folder_names_the_folder_of_its_study(tmp_path, name, content, is_used):
    run = tmp_path / "run"
    for folder in (run, tmp_path / "study"):
        folder.mkdir()
    if content is not None:
        (run / "base.json").write_text(content.replace("HERE", str(tmp_path)))
    assert base_of(run / name) == str(tmp_path / "study" if is_used else run)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("data.held-out-sites=[Bern, Chur]", """--set 'data.held-out-sites=["Bern", "Chur"]'"""),
        ("evaluation.epsilons=2/255", """--set 'evaluation.epsilons=["2/255"]'"""),
        ("audit=false", "audit = False: it is a table of settings; set one of audit.enabled, "),
    ],
)
def test_values_that_the_shell_took_quotes_from_are_shown_as_they_are_written(given, said):
    with pytest.raises(ConfigError) as told:
        Experiment.load("quickstart", [given])
    assert said in str(told.value)


def test_a_file_of_images_in_place_of_a_study_is_told(tmp_path):
    np.savez(tmp_path / "mine.npz", train_images=np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(ConfigError, match=r"arrays, and no study file; `fedrobust init study.toml --data"):
        Experiment.load(tmp_path / "mine.npz")
