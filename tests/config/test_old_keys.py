"""Keys of earlier versions: what they become, when that is told, and that records made with them stay readable."""

import hashlib
import json
import warnings
from types import SimpleNamespace

import pytest

from fedrobust.config import ConfigError, Experiment, keys
from fedrobust.config.old_keys import NAMED, OLD_KEYS, OldKeyNotice, modern, old_form, without_old_keys
from fedrobust.runs.checkpoint import Checkpoint, differences
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.run import Run
from fedrobust.spec import settings_of
from fedrobust.sweeps import cell as sweeps
from fedrobust.sweeps.sweep import Sweep

RECORDED = {
    "data": {
        "name": "phantom",
        "partition": "dirichlet",
        "alpha": 0.1,
        "min-size": 10,
        "shards-per-client": 2,
        "classes-per-client": 2,
        "images-per-client": 40,
        "skew": "linear",
    },
    "training": {
        "optimizer": "sgd",
        "momentum": 0.5,
        "weight-decay": 0.0,
        "recipe": "pgd",
        "epsilon": "8/255",
        "steps": 3,
        "epochs": 2,
    },
}
"""Tables as an earlier version wrote them, with every default."""

WRITTEN = {
    "data": {"name": "phantom", "partition": "dirichlet(alpha=0.1)"},
    "training": {
        "optimizer": "sgd(momentum=0.5)",
        "recipe": "pgd(epsilon='8/255', steps=3)",
        "epochs": 2,
    },
}


def flat(tables):
    return {
        f"{table}.{key}".replace(".", "__").replace("-", "_"): value
        for table, values in tables.items()
        for key, value in values.items()
    }


def file_of(path, tables):
    lines = []
    for table, values in tables.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.filterwarnings("error")
def test_old_and_new_lines_are_the_same_study():
    with pytest.warns(OldKeyNotice):
        old = Experiment.of(**flat(RECORDED))
    assert old == Experiment.of(**flat(WRITTEN))
    assert modern(RECORDED) == WRITTEN


def test_one_notice_a_study_shows_the_lines_to_write(tmp_path):
    path = file_of(tmp_path / "study.toml", RECORDED)
    with pytest.warns(OldKeyNotice) as told:
        study = Experiment.load(path, ["training.share=0.5"])
    (notice,) = [str(one.message) for one in told]
    assert notice.startswith(f"{path}: old keys, which the next release refuses: data.alpha, data.min-size")
    assert 'write data.partition = "dirichlet(alpha=0.1)" instead' in notice
    assert (
        '; training.momentum, training.weight-decay: write training.optimizer = "sgd(momentum=0.5)"' in notice
    )
    assert "training.recipe = \"pgd(epsilon='8/255', steps=3, share=0.5)\" instead" in notice
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Experiment.from_run_config(study.to_run_config()) == study, "told once, not in every process"
        assert study.changed(seed=1).training == study.training


@pytest.mark.parametrize("named", NAMED, ids=lambda named: named.dotted)
def test_every_old_key_is_a_setting_of_some_member_and_no_key_of_a_study(named):
    settings = {name for member in named.family for name in settings_of(named.family[member]) or ()}
    assert {key.replace("-", "_") for key in named.old} <= settings
    assert not set(keys(Experiment)) & set(OLD_KEYS)
    assert Experiment.of().to_dict()[named.table][named.key] == named.unset
    assert set(OLD_KEYS) <= Experiment.of().to_run_config().keys(), "Flower takes no key that is not declared"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["data.partition=dirichlet(alpha=0.5)", "data.alpha=0.3"],
            r'data\.alpha = 0\.3 and data\.partition = "dirichlet\(alpha=0\.5\)" both give alpha: take data\.alpha out',
        ),
        (
            ["training.optimizer=sgd(weight_decay=0.1)", "training.weight-decay=0.1"],
            r"training\.weight-decay = 0\.1 and training\.optimizer = .* both give weight_decay",
        ),
        (["training.recipe=pgd(steps=3)", "training.steps=3"], "both give steps"),
        (["training.steps=3"], r'training\.steps does nothing with training\.recipe = "plain": take it out'),
        (["training.recipe=fgsm", "training.steps=0"], r"training\.steps = 0: choose a whole number from 1"),
        (["training.momentum=1.0"], r"training\.momentum = 1\.0: choose a number from 0, below 1"),
        (["data.skew=cubic"], r"data\.skew = 'cubic': choose linear, square or exponential"),
        (["data.partition=3", "data.alpha=0.3"], r"data\.partition = 3: write a name"),
        (["data.partition=iid(", "data.alpha=0.3"], "write a name, or name"),
    ],
)
def test_what_is_given_twice_or_cannot_be_is_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        Experiment.of(overrides)


def test_what_did_nothing_is_left_out_and_told():
    with pytest.warns(OldKeyNotice, match='data.alpha: write data.partition = "iid" instead'):
        assert Experiment.of(data__alpha=0.3) == Experiment.of()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Experiment.of(training__epsilon=None) == Experiment.of()


def test_things_of_ones_own_take_what_old_keys_give():
    tables, _ = without_old_keys({"training": {"recipe": "my.mod:Trades", "epsilon": 0.1}})
    assert tables == {"training": {"recipe": "my.mod:Trades(epsilon=0.1)"}}
    tables, _ = without_old_keys({"data": {"partition": "my.mod:split", "alpha": 0.5, "min-size": 3}})
    assert tables == {"data": {"partition": "my.mod:split(min_size=3)"}}, "0.5 is what records hold anyway"


@pytest.mark.parametrize(
    "study",
    [
        Experiment.of(),
        Experiment.of(**flat(WRITTEN)),
        Experiment.of(training__optimizer="adam(weight_decay=0.01)", data__partition="draw(alpha=0.2)"),
        Experiment.of(training__optimizer="sgd(nesterov=True)", training__recipe="fgsm"),
    ],
)
def test_the_old_form_is_read_as_the_same_study(study):
    again, _ = without_old_keys(old_form(study.to_dict()))
    assert again == study.to_dict()


def test_a_cell_keeps_the_name_that_earlier_versions_gave_it(monkeypatch):
    """The digest is over the tables as they were: the sorted JSON of all settings that a result depends on."""
    study = Experiment.of(**flat(WRITTEN))
    dataset = SimpleNamespace(
        dataset=SimpleNamespace(digest="d"), network_digest="", experiment=study, base=None
    )
    monkeypatch.setattr(sweeps, "Study", SimpleNamespace(of=lambda experiment: dataset))
    tables = {name: table for name, table in study.to_dict().items() if name not in sweeps.NOT_CONTENT}
    tables["data"] = {**tables["data"], **RECORDED["data"]}
    del tables["data"]["root"]
    tables["training"] = {**tables["training"], **RECORDED["training"]}
    for key in sweeps.ADDED:
        table, _, name = key.partition(".")
        tables[table].pop(name, None)
    assert tables.pop("privacy") == {}, "a table younger than the first results"
    text = json.dumps({**tables, "data-digest": "d"}, sort_keys=True, separators=(",", ":"))
    assert sweeps.content_hash(study) == hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.filterwarnings("error")
def test_runs_of_earlier_versions_open_and_go_on(tmp_path):
    study = Experiment.of(**flat(WRITTEN))
    (tmp_path / "result.json").write_text(json.dumps({"status": "finished", "rounds": []}))
    file_of(tmp_path / "experiment.toml", RECORDED)
    assert Run(RunFolder(tmp_path), {}).experiment.training == study.training
    recorded = {**study.to_dict(), **old_form({"data": study.to_dict()["data"]})}
    recorded["training"] = old_form(study.to_dict())["training"]
    # Younger than the run.
    del recorded["federation"]["postprocessors"], recorded["model"]["defence"], recorded["privacy"]
    checkpoint = Checkpoint(1, None, None, 0.0, "", {"experiment": recorded}, {})
    assert differences(checkpoint, study.to_dict()) == []
    assert differences(checkpoint, study.changed(training__recipe="fgsm").to_dict()) == ["training.recipe"]


def test_a_sweep_over_old_keys_tells_it_once(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text("[data]\npartition = 'dirichlet'\nalpha = [0.1, 0.5, 2.0]\n[federation]\nclients = 4\n")
    with pytest.warns(OldKeyNotice) as told:
        cells = Sweep.load(path).cells
    (notice,) = [str(one.message) for one in told]
    assert (
        'sweep: old keys, which the next release refuses: data.alpha: write data.partition = "diri' in notice
    )
    partitions = [cell.experiment.data.partition for cell in cells]
    assert partitions == ["dirichlet(alpha=0.1)", "dirichlet", "dirichlet(alpha=2.0)"]
    with pytest.warns(OldKeyNotice):
        (one,) = Sweep.load(path).only(["data.alpha=2.0"]).cells
    assert one.experiment.data.partition == "dirichlet(alpha=2.0)"
