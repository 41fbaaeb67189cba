"""What every member of every family keeps to. A new member is found by itself; nothing here lists names."""

import dataclasses
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from linear_answers import LinearAnswers
from threadpoolctl import threadpool_limits

from fedrobust import api
from fedrobust.aggregation import PRE_AGGREGATORS, RULES, SERVER_OPTIMIZERS, AggregationContext, defence
from fedrobust.config import ConfigError, Experiment, list_keys
from fedrobust.config.families import FAMILIES
from fedrobust.data.dataset import Split
from fedrobust.data.partition import PARTITIONS, method_named
from fedrobust.data.sites import Sites
from fedrobust.models.architectures import ARCHITECTURES, architecture_named
from fedrobust.models.layout import Entry, Layout
from fedrobust.models.network import build_network
from fedrobust.poisoning import POISONING, Attack, AttackContext, AttackerTools, AttackMemory
from fedrobust.spec import REQUIRED, Spec, build, settings_of
from fedrobust.training.distillation_methods import DISTILLATION_METHODS, Teacher
from fedrobust.training.optimizers import OPTIMIZERS, Step
from fedrobust.training.recipes import RECIPES, Batch
from fedrobust.training.recipes.recipe import carries

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {"poisoning": "attacks-and-defences.md", "attacks": "evasion.md", "leakage": "leakage.md"}
"""The page that names a family's members, where it is not `studies.md`."""

SOURCE = re.compile(r"arXiv:\d{4}\.\d{4,5}|et al\.|\b(19|20)\d\d\b|flwr-datasets|this project's")
MEMBERS = [(family, name) for family in FAMILIES for name in FAMILIES[family].registry]


def member(family, name):
    return FAMILIES[family].registry[name]


def listed(key):
    return key in list_keys(Experiment)


@pytest.mark.parametrize(("family", "name"), MEMBERS)
def test_it_says_what_it_does_and_where_that_comes_from(family, name):
    thing = member(family, name)
    text = getattr(thing, "summary", None) or thing.__doc__
    about = sys.modules[thing.__module__].__doc__ if isinstance(thing, type) else ""
    assert text.strip()[0].isupper() or family == "models"
    assert SOURCE.search(text) or SOURCE.search(about), 'name the paper, or write "this project\'s"'


@pytest.mark.parametrize(("family", "name"), MEMBERS)
def test_its_settings_are_explained_and_survive_the_way_through_a_spec(family, name):
    thing = member(family, name)
    settings = settings_of(thing) or {}
    for setting in settings:
        assert any(f"{setting}:" in (each.__doc__ or "") for each in thing.__mro__), f"Attributes: {setting}"
    if family == "models":
        return
    assert dataclasses.is_dataclass(thing), "a frozen dataclass of settings"
    assert thing.__dataclass_params__.frozen
    if REQUIRED in settings.values():
        return
    made = build(FAMILIES[family].registry, name, f=1)
    given = {key: value for key, value in settings.items() if isinstance(value, bool | int | float | str)}
    spec = Spec(name, given)
    assert Spec.parse(str(spec)) == spec
    assert build(FAMILIES[family].registry, str(spec)) == build(FAMILIES[family].registry, name)
    assert type(made) is thing


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_listed_is_on_its_page(family):
    page = (DOCS / PAGES.get(family, "studies.md")).read_text()
    shown = api.members(family)
    assert list(shown) == sorted(FAMILIES[family].registry)
    assert [name for name in shown if not re.search(rf"[`\"]{re.escape(name)}[`(\"]", page)] == []
    assert all(
        setting in shown[name] for name in shown for setting in settings_of(member(family, name)) or {}
    )


@pytest.mark.parametrize(("family", "name"), MEMBERS)
def test_what_is_listed_a_study_accepts(family, name):
    norms = getattr(member(family, name), "norms", ("linf",))
    settings = {"evaluation__norm": "l2"} if "linf" not in norms else {}
    if family == "poisoning":
        settings |= {"poisoning__malicious": 2}
    required = [key for key, value in (settings_of(member(family, name)) or {}).items() if value is REQUIRED]
    if required or not {"linf", "l2"} & set(norms):  # an l0 attack has no epsilon of a study
        return
    for key in FAMILIES[family].keys:
        field = key.replace(".", "__").replace("-", "_")
        value = Experiment.of(
            **{"federation__clients": 20, **settings, field: [name] if listed(key) else name}
        )
        table, _, setting = field.partition("__")
        assert getattr(getattr(value, table), setting) == ((name,) if listed(key) else name)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_name_that_nothing_has_is_refused_with_all_that_there_are(family):
    for key in FAMILIES[family].keys:
        field = key.replace(".", "__").replace("-", "_")
        if family in ("models", "defences"):
            continue  # resolved with the data set at hand
        with pytest.raises(ConfigError, match=re.escape(key)) as refused:
            Experiment.of(**{field: ["nothing"] if listed(key) else "nothing"})
        assert all(name in str(refused.value) for name in FAMILIES[family].registry)


def test_listing_everything_starts_no_tensorflow():
    import subprocess

    text = "from fedrobust import api; from fedrobust.config.families import FAMILIES; import sys\n"
    text += (
        "for family in FAMILIES: api.members(family)\nassert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", text], check=True, timeout=120)


# -- What members do -------------------------------------------------------------------------------------------------


def rule_context(updates):
    """Return all that a rule may ask for, for a network with one convolution and a head."""
    clients, size = updates.shape
    shapes = {"conv/kernel": (size - 20, 1), "conv/bias": (8,), "logits/kernel": (5, 2), "logits/bias": (2,)}
    names = ("norm/moving_mean", "norm/moving_variance")
    layout = Layout(
        tuple(Entry(path, shape, "trainable") for path, shape in shapes.items())
        + tuple(Entry(name, (5,), "statistic") for name in names)
    )
    statistics = np.random.default_rng(3).random((clients, 10)).astype(np.float32)
    return AggregationContext(
        np.arange(clients),
        np.arange(10, 10 + clients),
        generator=np.random.default_rng(1),
        current=np.ones(size, np.float32),
        root=lambda images: updates[:5].mean(0),
        losses=np.linspace(1, 2, clients),
        layout=layout,
        statistics=statistics,
        current_statistics=statistics[0],
        model=LinearAnswers(2, updates[0]),
    )


@pytest.mark.parametrize(
    ("rule", "before"), [(rule, ()) for rule in RULES] + [("mean", (before,)) for before in PRE_AGGREGATORS]
)
def test_rules_return_one_finite_float32_update_twice_and_leave_updates_alone(rule, before, draw):
    updates = draw.standard_normal((13, 60)).astype(np.float32)
    given = updates.copy()

    def aggregated():
        return defence(rule, *before, f=2)(updates, rule_context(given))

    one, other = aggregated(), aggregated()
    assert (one.update.shape, one.update.dtype) == ((60,), np.float32)
    assert np.isfinite(one.update).all()
    np.testing.assert_array_equal(one.update, other.update)
    np.testing.assert_array_equal(updates, given)
    assert one.influence is None or (one.influence.shape == (13,) and (one.influence >= 0).all())
    assert all(isinstance(array, np.ndarray) for array in one.memory.values())


@pytest.mark.parametrize("rule", list(RULES))
def test_rules_have_the_same_bits_with_any_number_of_threads_of_blas(rule):
    """In the second round too, where rules remember the first."""
    rounds = np.random.default_rng(5).standard_normal((2, 13, 60_000)).astype(np.float32)

    def aggregated(threads):
        memory = {}
        with threadpool_limits(threads, user_api="blas"):
            for updates in rounds:
                context = dataclasses.replace(rule_context(updates), memory=memory)
                found = defence(rule, f=2)(updates, context)
                memory = found.memory
        return found.update

    np.testing.assert_array_equal(aggregated(1), aggregated(2))


@pytest.mark.parametrize("name", SERVER_OPTIMIZERS)
def test_server_optimizers_follow_the_updates_and_remember_arrays(name, draw):
    update = draw.standard_normal(60).astype(np.float32)
    given, memory = update.copy(), {}
    for round in (1, 2, 3):
        step, memory = build(SERVER_OPTIMIZERS, name)(update, memory, round)
        assert (step.shape, step.dtype) == ((60,), np.float32)
        assert step @ update > 0, "the same update again and again is where it goes"
    np.testing.assert_array_equal(update, given)
    assert all(isinstance(array, np.ndarray) for array in memory.values())


@pytest.mark.parametrize("name", POISONING)
def test_attackers_of_the_same_draws_do_the_same_and_leave_what_they_are_given_alone(name, draw):
    images = draw.integers(0, 256, (30, 28, 28, 1), np.uint8)
    labels, update = draw.integers(0, 3, 30).astype(np.int32), draw.standard_normal(50).astype(np.float32)
    split, sent = Split(images.copy(), labels.copy()), update.copy()

    def done():
        context = AttackContext(
            client_id=2,
            rank=1,
            malicious=3,
            clients=12,
            classes=3,
            generator=np.random.default_rng(5),
            fixed=np.random.default_rng(6),
            current=np.full(50, 0.1, np.float32),
            perturb=lambda images, labels, **how: images ^ 1,
            layout=Layout((Entry("dense/kernel", (10, 5), "trainable"),)),
            statistics=np.zeros(0, np.float32),
            tools=AttackerTools(
                split,
                split,
                lambda start, seen, **how: start,
                lambda weights, seen: np.zeros((len(seen), 3), np.float32),
                lambda weights, seen, wanted: seen - np.float32(0.5),
                lambda weights: 0.5,
            ),
            memory=AttackMemory(1, np.full(50, 0.2, np.float32), np.linspace(-1, 1, 50, dtype=np.float32)),
        )
        attack = Attack.parse(name)
        context = attack.prepared(context)
        poisoned = attack.data(split.images, split.labels, context)
        return *poisoned, attack.update(sent, context), attack.claim(30), dict(attack.training(context))

    one, other = done(), done()
    assert (one[0].dtype, one[1].dtype, one[2].dtype) == (np.uint8, np.int32, np.float32)
    assert len(one[0]) == len(one[1])
    assert one[0].shape[1:] == (28, 28, 1)
    assert one[2].shape == (50,)
    for mine, theirs in zip(one[:3], other[:3], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert one[3:] == other[3:]
    np.testing.assert_array_equal(split.images, images)
    np.testing.assert_array_equal(split.labels, labels)
    np.testing.assert_array_equal(sent, update)
    if one[4]:
        Experiment.of(**{f"training__{key}": value for key, value in one[4].items()})


@pytest.mark.parametrize("name", PARTITIONS)
def test_partitions_give_the_same_images_to_the_same_clients_for_a_seed(name, draw):
    labels = draw.integers(0, 4, 400).astype(np.int32)
    given = labels.copy()
    divide = method_named(name)
    by_site = getattr(divide, "NEEDS_SITES", False)
    more = {"sites": Sites.of(np.arange(400) % 6)} if by_site else {}
    one, other, third = (divide(labels, 6, seed, **more) for seed in (3, 3, 4))
    assert len(one) == 6
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert len(mine) > 0
        assert 0 <= min(mine) <= max(mine) < 400
    assert by_site or any(not np.array_equal(mine, theirs) for mine, theirs in zip(one, third, strict=True))
    np.testing.assert_array_equal(labels, given)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_local_optimizers_go_downhill_inside_a_graph(name, draw):
    """On f(w) = |w|^2 / 2, whose gradient is w."""
    optimizer = build(OPTIMIZERS, name)
    start = [tf.constant(draw.normal(size=shape), tf.float32) for shape in [(3, 4), (5,)]]

    @tf.function
    def descended(weights):
        slots = optimizer.start(weights)
        for number in range(1, 31):
            at = Step(tf.constant(number), tf.constant(0.01))
            weights, slots = optimizer.step(at, weights, weights, slots)
        return weights

    def length(weights):
        return sum(float(tf.reduce_sum(weight**2)) for weight in weights)

    ended, again = descended(start), descended(start)
    assert [(one.shape, one.dtype) for one in ended] == [(one.shape, one.dtype) for one in start]
    assert length(ended) < 0.9 * length(start)
    assert all(np.array_equal(one, other) for one, other in zip(ended, again, strict=True))


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_return_a_finite_loss_that_the_weights_can_follow(name, draw):
    images = tf.constant(draw.random((6, 4, 4, 1)), tf.float32)
    kernel = tf.constant(draw.normal(size=(16, 3)), tf.float32)
    labels = tf.constant([0, 1, 2, 0, 1, 2])
    recipe = build(RECIPES, name)
    held = recipe.carry(6, (4, 4, 1), tf.constant([0, 0])) if carries(recipe) else []

    def entropy(scores, targets):
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=scores)

    def batch(weights):
        def logits(seen):
            return tf.reshape(seen, (-1, 16)) @ weights[0]

        return Batch(
            images,
            labels,
            tf.ones(6),
            tf.constant([1, 2]),
            entropy,
            infer=logits,
            train=lambda seen: (logits(seen), [tf.reduce_mean(seen)]),
            weights=weights,
            at=batch,
            start=logits,
            carried=held,
            auxiliary=lambda statistics: batch(weights),
        )

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            outcome = recipe(batch([kernel]))
        return outcome.loss, outcome.logits, outcome.statistics, tape.gradient(outcome.loss, kernel)

    (loss, scores, statistics, gradient), again = step(), step()
    assert (loss.shape, scores.shape, len(statistics)) == ((), (6, 3), 1)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
    np.testing.assert_array_equal(gradient, again[3])
    clean = float(tf.reduce_mean(entropy(batch([kernel]).infer(images), labels)))
    assert float(loss) >= clean * (1 - 1e-5), "no recipe makes its own images easier"


@pytest.mark.parametrize("name", DISTILLATION_METHODS)
def test_distillation_methods_return_a_finite_loss_that_the_student_can_follow(name, draw):
    images = tf.constant(draw.random((6, 4, 4, 1)), tf.float32)
    kernel, teachers = (tf.constant(draw.normal(size=(16, 3)), tf.float32) for _ in range(2))

    def answers(seen, weights):
        return tf.reshape(seen, (-1, 16)) @ weights

    teacher = Teacher(
        answers(images, teachers), tf.constant([0, 1, 2, 0, 1, 2]), lambda seen: answers(seen, teachers)
    )

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            batch = Batch(
                images,
                teacher.logits,
                tf.ones(6),
                tf.constant([1, 2]),
                lambda logits, targets: tf.reduce_sum((logits - targets) ** 2, -1),
                infer=lambda seen: answers(seen, kernel),
                train=lambda seen: (answers(seen, kernel), [tf.reduce_mean(seen)]),
            )
            outcome = build(DISTILLATION_METHODS, name)(batch, teacher)
        return outcome.loss, outcome.logits, outcome.statistics, tape.gradient(outcome.loss, kernel)

    (loss, scores, statistics, gradient), again = step(), step()
    assert (loss.shape, scores.shape, len(statistics)) == ((), (6, 3), 1)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
    np.testing.assert_array_equal(gradient, again[3])


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if architecture_named(name).imagenet else [])
        for name in ARCHITECTURES
    ],
)
def test_networks_of_a_seed_answer_alike_with_finite_logits(name, draw):
    known = architecture_named(name)
    channels = 1 if known.channels == "native" else known.channels
    images = draw.random((2, known.smallest, known.smallest, channels)).astype(np.float32)
    one, other = (build_network(name, images.shape[1:], 3, seed, 0.9) for seed in (4, 4))
    answers = np.asarray(one(images))
    assert answers.shape == (2, 3)
    assert np.isfinite(answers).all()
    np.testing.assert_array_equal(answers, np.asarray(other(images)))
    assert not np.array_equal(answers, np.asarray(build_network(name, images.shape[1:], 3, 5, 0.9)(images)))
