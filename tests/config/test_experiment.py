import tomllib
from pathlib import Path

import pytest

from fedrobust.config import ConfigError, Experiment, keys, list_keys, template
from fedrobust.config.sections.model import Model
from fedrobust.epsilon import epsilon_value
from fedrobust.sweeps.sweep import Sweep

STUDIES = sorted((Path(__file__).parents[2] / "experiments").rglob("*.toml"))


def test_defaults_survive_every_form():
    experiment = Experiment.of()
    assert Experiment.from_run_config(experiment.to_run_config()) == experiment
    assert Experiment.of().changed(["seed=3"]).seed == 3


def test_a_changed_study_survives_every_form(tmp_path):
    experiment = Experiment.of(
        ["training.recipe=pgd(epsilon='8/255', steps=3)", "evaluation.epsilons=[0.001, '4/255']"],
        federation__clients=20,
        federation__participation=0.25,
        data__name="own/file.npz",
        distillation__enabled=False,
        export__enabled=False,
    )
    path = tmp_path / "study.toml"
    path.write_text(experiment.to_toml())
    loaded = Experiment.load(path)
    assert loaded.to_dict() == experiment.to_dict()
    assert loaded.base == str(tmp_path)
    assert Experiment.from_run_config(loaded.to_run_config()) == loaded
    assert all(isinstance(value, bool | int | float | str) for value in loaded.to_run_config().values())


def test_underscores_stand_for_dashes(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text("[training]\nbatch_size = 16\n[federation]\nmin-replies = 0.25\n")
    experiment = Experiment.load(path, ["model.image_size=48"], training__learning_rate=0.01)
    assert (experiment.training.batch_size, experiment.federation.min_replies) == (16, 0.25)
    assert (experiment.model.image_size, experiment.training.learning_rate) == (48, 0.01)


def test_settings_win_over_overrides_and_those_over_the_file(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text("seed = 1\n[federation]\nclients = 3\nrounds = 3\n")
    experiment = Experiment.load(path, ["federation.clients=4", "federation.rounds=4"], federation__rounds=5)
    assert (experiment.seed, experiment.federation.clients, experiment.federation.rounds) == (1, 4, 5)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("federation.client=3", r"federation\.client: unknown key, did you mean federation\.clients\?"),
        ("sede=3", r"sede: unknown key, did you mean seed\?"),
        ("federation.clients=0", r"federation\.clients = 0: .*greater than or equal to 1"),
        ("federation.clients=2.5", r"federation\.clients = 2\.5: .*integer"),
        ("federation.clients='20'", r'federation\.clients = "20": .*integer'),
        ("federation.participation=1.5", r"federation\.participation = 1\.5: .*less than or equal to 1"),
        ("data.size=30", r"data\.size = 30: .*28, 64, 128 or 224"),
        ("data=3", r"data = 3: "),
        (
            "training.recipe=tradez",
            r'training\.recipe = "tradez": .*did you mean "trades".* choose one of: .*fgsm, .*, trades; or give',
        ),
        ("training.recipe=pgd(steps=0)", r"training\.recipe = .*steps = 0: choose a whole number from 1"),
        ("training.recipe=pgd(epsilon=8)", r"epsilon = 8: choose .*an epsilon lies in \(0, 1\]"),
        ("training.optimizer=adamw", r'training\.optimizer = "adamw": .*did you mean "adam"'),
        ("training.optimizer=sgd(momentum=1.0)", r"momentum = 1\.0: choose a number from 0, below 1"),
        ("training.optimizer=sgd(beta=1)", r"sgd has no setting 'beta'.*; its settings: momentum, nesterov"),
        (
            "data.partition=dirichlet(alpha=0)",
            r"data\.partition = .*alpha = 0: choose a finite number above 0",
        ),
        (
            "data.partition=even",
            r"data\.partition = \"even\": 'even' is no partition.* or give a dotted path",
        ),
        ("training.epsilon=0.1", r"training\.epsilon does nothing with training\.recipe = \"plain\""),
        (
            "federation.aggregator=krumm",
            r'federation\.aggregator = "krumm": \'krumm\' is no aggregation rule, did you mean "krum"\?; choose',
        ),
        ("federation.aggregator=krum(g=2)", r"krum has no setting 'g'; its settings: f"),
        (
            "federation.aggregator=krum(f=5)",
            r"n >= 2f \+ 3 means at least 13 clients; with 10 it tolerates 3",
        ),
        ("federation.aggregator=flower:FedX", r"of Flower's strategies choose one of: FedAvg"),
        (
            "federation.pre-aggregators=['mixing']",
            r"federation\.pre-aggregators = \['mixing'\]: 'mixing' is no",
        ),
        ("federation.server-optimizer=adam", r'federation\.server-optimizer = "adam"'),
        ("federation.tolerate=-1", r"federation\.tolerate = -1"),
        ("evaluation.attacks=['pgd(steps=0)']", r"attacks = .*steps = 0: choose a whole number from 1"),
        ("evaluation.attacks=['carlini-wagner']", r'it searches in l2, evaluation\.norm = "linf"'),
        ("evaluation.epsilons=[0.1, 2]", r"evaluation\.epsilons = 2: an epsilon lies in \(0, 1\]"),
        ("evaluation.epsilons=['1/0']", r"an epsilon is a finite number or one fraction"),
        ("evaluation.epsilons=[0.1, 0.1]", r"one value stands twice"),
        ("export.formats=['tensorrt']", r'export\.formats = "tensorrt": .*float32'),
        ("distillation.enabled=false", r"it is the student that is exported; set export\.enabled = false"),
        ("engine.address=auto", r"the threads engine runs in this process"),
        ("poisoning.attack=alice", r'poisoning\.attack = "alice": \'alice\' is no poisoning attack'),
        ("poisoning.attack=sign-flip(4)", r"settings are written name=value"),
        ("poisoning.malicious=1.5", r"poisoning\.malicious = 1\.5: a share from 0\.0 to 1\.0"),
        ("poisoning.malicious=[1, 1]", r"each once"),
        ("name=a/b", r'name = "a/b"'),
        ("base=/tmp", r"base: unknown key"),
        ("seed", r"an override is written key=value"),
        ("seed.x=1", r"seed"),
    ],
)
def test_what_is_wrong_is_refused_with_the_key_and_what_is_allowed(override, message):
    with pytest.raises(ConfigError, match=message):
        Experiment.of([override])


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text("[federation]\nrounds = 'five'\nclient = 3\n")
    with pytest.raises(ConfigError) as error:
        Experiment.load(path)
    lines = str(error.value).splitlines()
    assert len(lines) == 2, "all mistakes are told at once"
    assert all(line.startswith(f"{path}: federation.") for line in lines)
    path.write_text("[federation\n")
    with pytest.raises(ConfigError, match="not a TOML file"):
        Experiment.load(path)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Experiment.load(tmp_path / "none.toml")
    path.write_text("[data]\nmin-size = 1\nmin_size = 2\n")
    with pytest.raises(ConfigError, match="given twice"):
        Experiment.load(path)


def test_template_has_every_key_and_is_the_defaults(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(template())
    assert Experiment.load(path).to_dict() == Experiment.of().to_dict()
    for key in keys(Experiment):
        assert key.rpartition(".")[2] in template()


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_of_the_project_is_valid(path):
    sweep = Sweep.load(path)
    assert sweep.name.endswith(path.stem)
    # A sweep of one combination is a study.
    assert len(sweep.cells) > 1 or Experiment.load(path).name == path.stem


def test_run_config_defaults_of_the_flower_app_are_the_quickstart():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    app = project["tool"]["flwr"]["app"]
    assert app["components"] == {"serverapp": "server.app:app", "clientapp": "clients.app:app"}
    flat = {
        f"{table}.{key}" if isinstance(value, dict) else table: item
        for table, value in app["config"].items()
        for key, item in (value.items() if isinstance(value, dict) else [("", value)])
    }
    assert flat == Experiment.quickstart().to_run_config()


def test_epsilons():
    assert epsilon_value("1/255") == 1 / 255
    assert epsilon_value(0.005) == 0.005


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"training__recipe_from": 2}, 'recipe-from = 2 does nothing with training.recipe = "plain"'),
        (
            {"training__recipe": "fgsm", "training__recipe_from": 9},
            "recipe-from = 9: the study ends after round 5",
        ),
        (
            {"audit__student": True, "distillation__enabled": False, "export__enabled": False},
            "there is no student",
        ),
        ({"model__scaling": "none"}, "model.scaling"),
        ({"data__augment": -1}, "data.augment = -1"),
    ],
)
def test_mistakes_in_when_a_recipe_begins_and_what_is_audited(settings, message):
    with pytest.raises(ConfigError, match=message):
        Experiment.of(**settings)


def test_training_is_plain_before_its_recipe_begins():
    training = Experiment.of(training__recipe="pgd(epsilon=0.01, steps=3)", training__recipe_from=3).training
    assert training.in_round(3) is training
    before = training.in_round(2)
    assert (before.recipe, before.attacks_used) == ("plain", ())
    assert training.attacks_used == ("pgd",)
    assert before.learning_rate == training.learning_rate


def test_keys_of_lists_are_those_whose_types_are_lists():
    assert list_keys(Experiment) == {
        "audit.epsilons",
        "data.clients",
        "data.held-out-sites",
        "data.site-shifts",
        "evaluation.attacks",
        "evaluation.baselines",
        "evaluation.epsilons",
        "evaluation.metrics",
        "export.formats",
        "federation.availability",
        "federation.postprocessors",
        "federation.pre-aggregators",
        "poisoning.malicious",
        "training.augmentations",
        "training.unfreeze",
    }


@pytest.mark.parametrize(
    ("defence", "expected"),
    [("none", ""), ("jpeg(quality=75)", "jpeg(quality=75)"), ("nonesuch:None_", "nonesuch:None_")],
)
def test_the_name_of_a_defence_in_exported_files_is_whole(defence, expected):
    assert Model(defence=defence).defended_by == expected
