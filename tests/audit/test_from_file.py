"""Which model, which images and which companions an audit is made of: with models that are opened by nobody."""

import hashlib
from types import SimpleNamespace

import jsonschema
import keras
import numpy as np
import pytest

from fedrobust.audit import Plan, companions, from_file
from fedrobust.audit import images as images_module
from fedrobust.audit import opened as opened_module
from fedrobust.audit.attack_cache import SAMPLE
from fedrobust.audit.figures import clinical_record
from fedrobust.audit.table import attack_table
from fedrobust.config import ConfigError
from fedrobust.data.dataset import Dataset, Split
from fedrobust.data.medmnist import published
from fedrobust.errors import FedrobustError
from fedrobust.evasion import Threat
from fedrobust.evasion.models.predictor import Predictor
from fedrobust.models.input_format import InputFormat
from fedrobust.models.interfaces import Interfaces
from fedrobust.runs import of_file
from fedrobust.runs.record import AttackTableRecord, json_schema

SHAPE = (3, 2, 1)


def split(n, seed) -> Split:
    """Return n images, dark ones of class 0 and bright ones of class 1, in turn."""
    draw = np.random.default_rng(seed)
    labels = (np.arange(n) % 2).astype(np.int32)
    shade = np.where(labels == 1, 200, 40)[:, None, None, None]
    return Split((shade + draw.integers(0, 30, (n, *SHAPE))).astype(np.uint8), labels)


def dataset(**changes) -> Dataset:
    fields = {
        "name": "shades",
        "train": split(20, 0),
        "validation": split(10, 1),
        "test": split(60, 2),
        "label_names": ("dark", "bright"),
        "task": "binary-class",
        "disease": (1,),
        "source": "made up",
        "licence": "",
        "digest": "d1gest",
    }
    return Dataset(**(fields | changes))


def shade(images):
    """Return logits of the brighter half, in [0, 1]."""
    score = 8 * (images.mean(axis=(1, 2, 3)) - 0.5)
    return np.stack([-score, score], axis=1)


# -- Models and their digests ----------------------------------------------------------------------------------------


def test_a_run_folder_means_its_global_model(tmp_path, monkeypatch):
    for name in ("finished", "started", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "finished" / "model.keras").write_bytes(b"model")
    (tmp_path / "started" / "experiment.toml").write_text("")
    assert opened_module.model_path(tmp_path / "finished") == tmp_path / "finished" / "model.keras"
    assert opened_module.model_path(str(tmp_path / "started")) == tmp_path / "started" / "model.keras"
    assert opened_module.model_path(tmp_path / "empty") == tmp_path / "empty"
    file = tmp_path / "finished" / "model.keras"
    assert opened_module.model_path(file) == file
    # A study's own paths are as seen from its folder, where they are none from here.
    assert opened_module.model_path("finished", base=tmp_path) == file
    assert opened_module.model_path("nowhere", base=tmp_path) == tmp_path / "nowhere"
    monkeypatch.chdir(tmp_path / "started")
    (tmp_path / "started" / "finished").mkdir()
    assert opened_module.model_path("finished", base=tmp_path) == tmp_path / "started" / "finished"
    assert opened_module.model_path(file, base=tmp_path / "empty") == file
    assert of_file.is_of_run(tmp_path / "started" / "model.keras")
    assert not of_file.is_of_run(file)


def test_a_file_is_known_by_its_bytes(tmp_path):
    file = tmp_path / "model.keras"
    file.write_bytes(b"bytes")
    expected = hashlib.sha256(b"bytes").hexdigest()
    assert opened_module.file_digest(file) == expected
    assert opened_module.model_digest(file) == opened_module.model_digest(str(file)) == expected
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.keras").write_bytes(b"bytes")
    assert opened_module.model_digest(tmp_path / "run") == expected
    with pytest.raises(FedrobustError):
        opened_module.file_digest(tmp_path / "none.keras")


def test_a_function_is_known_by_its_name_alone():
    assert opened_module.model_digest(shade, "mine") == hashlib.sha256(b"mine").hexdigest()
    assert opened_module.model_digest(shade) != opened_module.model_digest(shade), (
        "nothing tells it from others"
    )
    assert opened_module.is_known(shade, "mine")
    assert not opened_module.is_known(shade, "")
    assert opened_module.is_known("model.keras", "")


def network(seed=0, layers="linear") -> keras.Model:
    inputs = keras.Input(SHAPE, name="images")
    start = keras.initializers.RandomNormal(seed=seed)
    dense = keras.layers.Dense(2, activation=layers, kernel_initializer=start, name="dense")
    return keras.Model(inputs, dense(keras.layers.Flatten(name="flat")(inputs)), name="net")


def test_a_model_in_memory_is_known_by_its_layers_and_weights(monkeypatch):
    one = network()
    assert opened_module.model_digest(one) == opened_module.model_digest(network())
    assert opened_module.model_digest(one) != opened_module.model_digest(network(1)), "other weights"
    assert opened_module.model_digest(one) != opened_module.model_digest(network(0, "tanh")), "other layers"
    assert opened_module.is_known(one, "")
    assert not opened_module.is_function(one)
    for error in (NotImplementedError, TypeError, ValueError):

        def unwritten(self, error=error):
            raise error

        monkeypatch.setattr(keras.Model, "to_json", unwritten)
        assert opened_module.model_digest(one) != opened_module.model_digest(one), (
            "layers that nobody can write down"
        )


def test_what_is_no_model_is_refused_with_what_to_do():
    assert opened_module.is_function(shade)
    assert not opened_module.is_function("model.keras")
    hand_in = (
        "a function predict(images (n, height, width, channels) float32 in [0, 1]) -> logits (n, classes), and "
        "gradient=... beside it; docs/audit.md shows them"
    )
    torch = type("Net", (), {"__module__": "torch.nn.modules", "__call__": shade})
    wrapped = "fedrobust.torch_model(net), or "
    for model, what, first in (
        (3, "a int", ""),
        (torch(), "a PyTorch module", wrapped),
        (None, "a NoneType", ""),
    ):
        with pytest.raises(ConfigError) as refused:
            opened_module.is_function(model)
        assert str(refused.value) == f"model: {what}; hand in {first}{hand_in}"
    inherited = type("Own", (torch,), {"__module__": "mine"})
    with pytest.raises(ConfigError, match="a PyTorch module"):
        opened_module.is_function(inherited())


def test_models_are_called_by_file_name_or_class(tmp_path):
    assert opened_module.opened_name(tmp_path / "net.keras") == "net.keras"
    assert opened_module.opened_name(network()) == "net"
    assert opened_module.opened_name(shade) == "shade"
    assert opened_module.opened_name(SimpleNamespace(name="")) == "SimpleNamespace"


# -- Images ----------------------------------------------------------------------------------------------------------


def test_a_split_is_described_with_what_others_report_on():
    data = dataset()
    images, labels, about = images_module.chosen_split(data, "test", 0)
    assert images is data.test.images
    assert labels is data.test.labels
    assert about == {
        "name": "shades",
        "digest": "d1gest",
        "split": "test",
        "labels": ["dark", "bright"],
        "disease": [1],
        "official": None,
        "of": 60,
    }
    images, labels, about = images_module.chosen_split(data, "validation", 4)
    assert (len(images), labels.tolist(), about["split"]) == (4, [0, 1, 0, 1], "validation")
    with pytest.raises(ConfigError) as refused:
        images_module.chosen_split(data, "probe", 0)
    assert str(refused.value) == "split = 'probe': choose one of train, validation, test"


def test_only_a_published_file_has_an_official_test_set():
    about = published("breastmnist")
    [address, *_] = [address for address, _ in about.files.values()]
    assert images_module.official(dataset(name="breastmnist", source=address)) == about.counts[2] == 156
    assert images_module.official(dataset(name="breastmnist", source="own.npz")) is None
    assert images_module.official(dataset(source=address)) is None


# -- What is opened --------------------------------------------------------------------------------------------------


def test_a_function_is_asked_about_a_sample_of_the_split(monkeypatch):
    asked = []
    monkeypatch.setattr(opened_module, "check_reading", lambda *given: asked.append(given) or "a note")
    predictor = Predictor.of(shade, SHAPE, 2)
    told = Interfaces.parse("0..1", "0,1").of("", dataset())
    assert opened_module.check_opened(predictor, dataset(), "test", told, "control") == ("a note",)
    [(answers, images, labels, channels, format, order, is_told, what)] = asked
    expected = dataset().test
    np.testing.assert_allclose(images, expected.images / 255, atol=1e-7)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(labels, expected.labels)
    bytes_ = InputFormat(0.0, 255.0)
    np.testing.assert_allclose(answers(bytes_), predictor.raw(images, bytes_))
    assert (channels, format, order) == (1, predictor.format, predictor.labels)
    assert (is_told, what) == ((True, True), "control")
    monkeypatch.setattr(opened_module, "check_reading", lambda *given: asked.append(given) or "")
    monkeypatch.setattr(opened_module, "SAMPLE_READ", 10)
    nothing = Interfaces().of("", dataset())
    assert opened_module.check_opened(predictor, dataset(), "validation", nothing) == ()
    opened_module.check_opened(predictor, dataset(), "test", nothing)
    assert [len(given[1]) for given in asked] == [60, 10, 10]
    assert asked[1][6:] == ((False, False), "")


def test_a_functions_notes_say_what_it_is_given():
    opened, digest, notes = opened_module.opened_with_digest(shade, dataset(), "native", name="mine")
    assert isinstance(opened, Predictor)
    assert opened.name == "mine"
    assert digest == opened_module.model_digest(shade, "mine")
    assert notes[0] == "input format 0..1: assumed, neither given nor recognised"
    _, _, told = opened_module.opened_with_digest(
        shade, dataset(), "native", interfaces=Interfaces.parse("0..1", "0,1"), name="mine"
    )
    assert not [note for note in told if "input format" in note]
    with pytest.raises(ConfigError) as refused:
        opened_module.opened_with_digest(shade, dataset(), "prepared")
    assert str(refused.value) == "space = 'prepared': a function takes the data's images; choose native"


@pytest.mark.parametrize(
    ("first", "why"),
    [
        ([keras.layers.Rescaling(2.0, offset=-1.0)], "as its first layers show"),
        ([], "assumed, neither given nor recognised"),
    ],
)
def test_a_networks_notes_say_what_it_is_given_and_why(first, why):
    """A network that is right: it compares the mean of the pixels with a half."""
    signs = np.tile(np.array([[-1.0, 1.0]], np.float32), (16, 1))
    dense = keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((4, 4, 1)), *first, keras.layers.Flatten(), dense])
    middle = 0.0 if first else 8.0
    dense.set_weights([signs, np.array([middle, -middle], np.float32)])
    notes = opened_module.opened_with_digest(model, dataset(), "native")[2]
    assert "the model takes images of (4, 4, 1); those of (3, 2, 1) are made to fit before it" in notes
    assert f"input format 0..1: {why}" in notes


def test_a_networks_gradient_is_its_own():
    with pytest.raises(ConfigError) as refused:
        opened_module.opened_with_digest(network(), dataset(), "native", gradient=shade)
    assert str(refused.value) == "gradient: it belongs to a function; net has its own"


def opened_model(shape=SHAPE, classes=2, name="net") -> SimpleNamespace:
    return SimpleNamespace(target=SimpleNamespace(shape=shape, classes=classes), name=name)


@pytest.fixture
def opening(monkeypatch):
    """What would be opened and asked about, noted down."""
    noted = SimpleNamespace(opened=[], asked=[], of_runs=[], model=opened_model())

    def open_model(*given, **settings):
        noted.opened.append((given, settings))
        return noted.model

    monkeypatch.setattr(companions, "open_model", open_model)
    monkeypatch.setattr(companions, "check_opened", lambda *given: noted.asked.append(given) or ())
    monkeypatch.setattr(companions, "check_run_opened", lambda *given: noted.of_runs.append(given) or ())
    monkeypatch.setattr(companions, "ExportedTarget", lambda file, interface: noted.model.target)
    return noted


def test_a_companion_is_opened_by_what_was_told_of_it_and_asked_about(opening, tmp_path):
    (tmp_path / "twin.keras").write_bytes(b"twin")
    told, data = Interfaces.parse(["0..1", "teacher=0..255"]), dataset()
    name, target = companions.companion("twin.keras", data, "prepared", tmp_path, told, "teacher")
    assert name == f"twin.keras {hashlib.sha256(b'twin').hexdigest()[:8]}"
    assert target is opening.model.target
    interface = told.of("teacher", data)
    given = (tmp_path / "twin.keras", SHAPE, 2, "prepared")
    assert opening.opened == [(given, {"interface": interface})]
    assert opening.asked == [(opening.model, data, "test", interface, "teacher")]
    companions.companion(tmp_path / "twin.keras", data, "native")
    assert opening.asked[1][3:] == (Interfaces().of("control", data), "control")
    (tmp_path / "experiment.toml").write_text("")
    companions.companion(tmp_path / "twin.keras", data, "native")
    assert len(opening.asked) == 2, "the names of its run's classes tell"
    assert opening.of_runs == [
        (opening.model, tmp_path / "twin.keras", data, "test", Interfaces(), "control")
    ]
    assert companions.companion("", data, "native") is None


def test_an_exported_companion_is_a_file_of_the_same_images_and_classes(opening, tmp_path, monkeypatch):
    file, data = tmp_path / "small.tflite", dataset()
    with pytest.raises(ConfigError) as refused:
        companions.edge_companion(str(file), data)
    assert str(refused.value) == f"edge = {str(file)!r}: there is no such file"
    file.write_bytes(b"small")
    name, target = companions.edge_companion(file, data, Interfaces.parse(["edge=0..255"]))
    assert name == f"small.tflite {hashlib.sha256(b'small').hexdigest()[:8]}"
    assert target is opening.model.target
    interface = Interfaces.parse(["edge=0..255"]).of("edge", data)
    assert opening.asked == [(target, data, "test", interface, "edge")]
    for shape, classes in (((9, 9, 1), 2), (SHAPE, 3)):
        opening.model = opened_model(shape, classes)
        with pytest.raises(ConfigError) as refused:
            companions.edge_companion(file, data)
        assert str(refused.value) == (
            f"edge = {str(file)!r}: it takes images of {shape} and knows {classes} classes; the data have {SHAPE} and 2"
        )
    assert companions.edge_companion("", data) is None

    def broken(file, interface):
        raise RuntimeError("no flatbuffer\nat all")

    monkeypatch.setattr(companions, "ExportedTarget", broken)
    with pytest.raises(ConfigError) as refused:
        companions.edge_companion(file, data)
    assert str(refused.value) == (
        f"edge = {str(file)!r}: not a LiteRT file of images with input and output of float32, int8 or uint8: no "
        "flatbuffer"
    )


def test_a_function_has_no_training_mode_and_a_network_is_run_in_it():
    assert (
        opened_module.in_training_mode(Predictor.of(shade, SHAPE, 2), np.zeros((1, *SHAPE), np.uint8)) is None
    )
    asked = []
    opened = SimpleNamespace(answers=lambda images, training: asked.append((images, training)) or "logits")
    assert opened_module.in_training_mode(opened, np.full((2, *SHAPE), 51, np.uint8))() == "logits"
    [(images, training)] = asked
    np.testing.assert_allclose(images, np.full((2, *SHAPE), 0.2, np.float32))
    assert (images.dtype, training) == (np.float32, True)


# -- The whole audit, and the table of attacks -----------------------------------------------------------------------


def test_an_audit_is_of_the_subject_that_was_named(monkeypatch, tmp_path):
    made, asked = [], []

    def audit(evidence, note, environment):
        made.append((evidence, note, environment))
        return "card"

    monkeypatch.setattr(from_file, "audit", audit)
    monkeypatch.setattr(
        from_file, "companion", lambda path, *given, **told: asked.append((path, given, told)) or (path, None)
    )
    monkeypatch.setattr(from_file, "edge_companion", lambda *given: asked.append(given) or ("edge", None))
    data, plan, told = dataset(), Plan(epsilon=0.3, seed=4), Interfaces.parse("0..1", "0,1")
    card = from_file.audit_file(
        shade,
        data,
        plan,
        split="validation",
        images=4,
        control="a",
        teacher="b",
        edge="c",
        interfaces=told,
        name="mine",
        trained_on=["pgd"],
        history=[0.5, 0.6],
        folder=tmp_path,
        map="map",
        report="report",
        note="note",
        environment={"os": "none"},
    )
    assert card == "card"
    [(evidence, note, environment)] = made
    assert (note, environment) == ("note", {"os": "none"})
    audited = evidence.audited
    assert audited.name == "mine"
    assert audited.digest == opened_module.model_digest(shade, "mine")
    np.testing.assert_allclose(audited.images, data.validation.images[:4] / 255, atol=1e-7)
    np.testing.assert_array_equal(audited.labels, data.validation.labels[:4])
    assert audited.data == images_module.chosen_split(data, "validation", 4)[2]
    assert audited.output == "logits"
    assert audited.in_training_mode is None
    assert (audited.control, audited.teacher, audited.edge) == (("a", None), ("b", None), ("edge", None))
    assert asked == [
        ("a", (data, "native"), {"interfaces": told, "what": "control"}),
        ("b", (data, "native"), {"interfaces": told, "what": "teacher"}),
        ("c", data, told),
    ]
    assert (audited.trained_on, audited.history) == (("pgd",), (0.5, 0.6))
    assert (
        audited.notes
        == opened_module.opened_with_digest(shade, data, "native", interfaces=told, name="mine")[2]
    )
    assert evidence.plan is plan
    assert (evidence._folder, evidence._map, evidence._report) == (tmp_path, "map", "report")
    from_file.audit_file(shade, data, plan, folder=tmp_path / "none")
    assert made[1][0]._folder is None, "a function without a name is not found again"
    assert len(made[1][0].audited) == 60
    assert made[1][0].audited.trained_on == made[1][0].audited.history == ()


def test_a_network_is_audited_in_training_mode_on_its_first_images(monkeypatch):
    made = []
    monkeypatch.setattr(from_file, "audit", lambda evidence, *_: made.append(evidence))
    monkeypatch.setattr(from_file, "in_training_mode", lambda opened, stored: stored)
    monkeypatch.setattr(from_file, "SAMPLE", 8)
    from_file.audit_file(network(), dataset(), Plan(), interfaces=Interfaces.parse("0..1", "0,1"))
    np.testing.assert_array_equal(made[0].audited.in_training_mode, dataset().test.images[:8])
    assert made[0].audited.target.logits(made[0].audited.images).shape == (60, 2)
    assert made[0].audited.name == "net"
    assert SAMPLE == 256


def test_a_table_has_a_row_for_every_attack_at_every_epsilon(tmp_path):
    plan = Plan(epsilon="51/255", curve=(0.1, 0.9), threat=Threat(), seed=6)
    said = []
    table = attack_table(
        shade,
        dataset(),
        plan,
        ["noise(draws=2)", "square(queries=20)"],
        images=20,
        name="mine",
        folder=tmp_path,
        report=lambda name, progress: said.append(name),
        environment={"os": "none"},
    )
    assert set(said) == {"noise(draws=2)", "square(queries=20)"}
    assert len(list(tmp_path.iterdir())) == 2
    assert [(row.attack, row.epsilon, row.epsilon_value) for row in table.attacked] == [
        (attack, epsilon, value)
        for attack in ("noise(draws=2)", "square(queries=20)")
        for epsilon, value in ((0.1, 0.1), ("51/255", 0.2), (0.9, 0.9))
    ]
    square = table.attacked[5]
    assert table.attacked[0].broken == 0
    assert square.broken > 15
    assert (square.metrics.correct, square.metrics.n) == (20 - square.broken, 20)
    assert 1 < square.queries <= 80
    assert square.gradients == 0
    assert square.seconds > 0
    assert "disease missed" in square.metrics.figures
    chosen = dataset().test.sample(20)
    answers = shade(chosen.images.astype(np.float32) / np.float32(255))
    assert table.clean == clinical_record(chosen.labels, answers, (1,))
    _, digest, notes = opened_module.opened_with_digest(shade, dataset(), "native", name="mine")
    assert notes
    content = table.to_json()
    about = images_module.chosen_split(dataset(), "test", 20)[2]
    assert about.pop("of") == 60
    jsonschema.validate(content, json_schema(AttackTableRecord, "a table"))
    assert {key: content[key] for key in content if key not in ("clean", "attacked")} == {
        "schema": 2,
        "model": {"name": "mine", "digest": digest, "output": "logits"},
        "data": {**about, "n": 20},
        "threat": {
            "norm": "linf",
            "epsilon": None,
            "epsilon-value": None,
            "space": "native",
            "bits": 0,
            "tied": False,
        },
        "seed": 6,
        "notes": list(notes),
        "environment": {"os": "none"},
    }


def test_a_table_does_not_put_down_to_an_attack_what_was_wrong_before():
    def constant(images):
        return np.tile([-1.0, 1.0], (len(images), 1))

    told, plan = Interfaces.parse("0..1", "0,1"), Plan(epsilon=0.01, curve=(0.01,))
    table = attack_table(constant, dataset(), plan, ["noise(draws=1)"], split="validation", interfaces=told)
    assert (table.clean.correct, table.clean.n) == (5, 10)
    assert table.attacked[0].metrics.correct == 5
    assert table.attacked[0].broken == 0
    assert table.data.split == "validation"


def test_a_table_of_a_stochastic_function_says_that_answers_are_means():
    draw = np.random.default_rng(0)

    def noisy(images):
        return shade(images) + draw.normal(0, 0.05, (len(images), 2)).astype(np.float32)

    table = attack_table(noisy, dataset(), Plan(effort="quick"), ["noise(draws=2)"], images=20)
    assert table.notes[-1] == (
        "the model answers at random: attacks see the mean of 2 answers and gradients (EOT), and an image counts as "
        "misclassified if the mean of 256 new answers is wrong"
    )
