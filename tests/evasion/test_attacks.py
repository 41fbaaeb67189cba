from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fedrobust.config import ConfigError, Experiment
from fedrobust.errors import FedrobustError
from fedrobust.evasion import (
    ATTACKS,
    BIM,
    PGD,
    Ensemble,
    NotDifferentiableError,
    SearchState,
    Threat,
    Tied,
    attack,
    attack_named,
)
from fedrobust.evasion.models.protocol import Slopes, batches
from fedrobust.evasion.rng import keys_of
from fedrobust.evasion.threat import ThreatError
from fedrobust.spec import SpecError

CHEAP = {
    "square": "square(queries=60)",
    "ensemble": "ensemble(steps=8, queries=30, targets=3)",
    "noise": "noise(draws=10)",
    "radial-probes": "radial-probes(radii=2)",
    "rays": "rays(queries=80)",
    "hop-skip-jump": "hop-skip-jump(queries=120, directions=20)",
    "spsa": "spsa(steps=4, directions=6)",
    "smoothed-pgd": "smoothed-pgd(steps=4, copies=3)",
    "pgd": "pgd(steps=8)",
    "apgd-ce": "apgd-ce(steps=10)",
    "apgd-dlr": "apgd-dlr(steps=10)",
    "apgd-t": "apgd-t(steps=10, targets=3)",
    "apgd-focused": "apgd-focused(steps=10, restarts=3)",
    "carlini-wagner": "carlini-wagner(steps=20, searches=3)",
    "lbfgs": "lbfgs(steps=10, searches=3)",
    "deepfool": "deepfool(steps=5)",
    "fab": "fab(steps=5)",
    "fab-t": "fab-t(steps=5, targets=3)",
    "fmn": "fmn(steps=20)",
    "sigma-zero": "sigma-zero(steps=30)",
    "universal": "universal(epochs=2)",
    "one-pixel": "one-pixel(population=10, generations=3)",
}


def spec(name):
    return CHEAP.get(name, name)


def bounded():
    return [name for name in ATTACKS if name != "transfer"]


@pytest.mark.parametrize(
    "name",
    [
        "fgsm",
        "fgsm(loss='margin')",
        "bim",
        "mi-fgsm",
        "pgd(steps=40)",
        "pgd(steps=40, loss='dlr')",
        "apgd-ce",
        "apgd-dlr",
        pytest.param("apgd-focused", marks=pytest.mark.slow),
        pytest.param("ensemble(steps=30, queries=10)", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("norm", ["linf", pytest.param("l2", marks=pytest.mark.slow)])
def test_two_linear_classes_are_broken_exactly_from_their_distance_on(two_classes, name, norm):
    """The adversary is a formula: epsilon suffices from the boundary's distance on, and not below."""
    far = two_classes.nearest[norm]
    for epsilon in np.quantile(far, [0.3, 0.7]):
        done = attack(
            two_classes.target, two_classes.images, two_classes.labels, name, Threat(norm=norm), [epsilon]
        )
        broken = done.success[0]
        assert broken[far < epsilon / 1.03].all()
        assert not broken[far > epsilon * 1.001].any()


def test_pgds_steps_fall_from_epsilon_and_bims_add_up_to_it():
    assert [PGD(steps=4).share(step) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]
    assert [BIM(steps=4).share(step) for step in range(4)] == [0.25] * 4
    assert PGD(steps=4, step_size=0.1).share(3) == 0.1


@pytest.mark.parametrize("name", ["pgd(steps=60, loss='margin')", "apgd-dlr(steps=100)", "apgd-t"])
def test_many_linear_classes_are_broken_from_their_distance_on(fourteen_classes, name):
    far = fourteen_classes.nearest["linf"]
    epsilon = float(np.quantile(far, 0.5))
    done = attack(
        fourteen_classes.target, fourteen_classes.images, fourteen_classes.labels, name, Threat(), [epsilon]
    )
    assert done.success[0][far < epsilon / 1.05].all()
    assert not done.success[0][far > epsilon * 1.001].any()


@pytest.mark.parametrize("classes", [2, 14])
@pytest.mark.parametrize(
    "name", ["deepfool", "carlini-wagner", "lbfgs", "fab(steps=20)", "fab-t(steps=20, targets=13)", "fmn"]
)
def test_minimisers_find_the_nearest_adversary(problems, classes, name):
    problem = problems[classes]
    done = attack(problem.target, problem.images, problem.labels, name, Threat(norm="l2"), [100.0])
    assert done.success.all()
    ratio = done.distance[0] / problem.nearest["l2"]
    limit = 1.05 if classes == 2 or name != "lbfgs" else 1.5  # lbfgs aims at one class only
    assert ratio.max() <= limit
    assert ratio.min() >= 0.999
    assert np.median(ratio) <= 1.005


@pytest.mark.parametrize("name", ["deepfool", "fab(steps=20)", "fmn"])
def test_minimisers_find_the_nearest_adversary_in_linf(two_classes, name):
    done = attack(
        two_classes.target, two_classes.images, two_classes.labels, name, Threat(norm="linf"), [1.0]
    )
    ratio = done.distance[0] / two_classes.nearest["linf"]
    assert ratio.min() >= 0.999
    assert ratio.max() <= 1.005


@pytest.mark.parametrize("classes", [2, 14])
@pytest.mark.parametrize("name", ["sigma-zero(steps=200)", "fmn"])
def test_the_fewest_pixels_of_a_linear_model_are_those_that_help_most(problems, classes, name):
    problem, fewest = problems[classes], problems[classes].nearest["l0"]
    done = attack(problem.target, problem.images, problem.labels, name, Threat(norm="l0"), [36])
    assert done.success.all()
    more = done.distance[0] - fewest
    assert more.min() >= 0, "the formula is a bound"
    assert (more == 0).mean() >= (0.9 if classes == 2 else 0.6)
    assert more.max() <= 1


@pytest.mark.parametrize("classes", [2, 14])
@pytest.mark.parametrize("name", bounded())
def test_no_attack_leaves_the_threat_and_successes_are_real(problems, classes, name):
    problem = problems[classes]
    chosen = attack_named(spec(name))
    labels = problem.labels.copy()
    labels[:3] = (labels[:3] + 1) % classes  # wrong from the start
    for norm in chosen.norms:
        epsilons = [1, 4] if norm == "l0" else [0.01, 0.05]
        threat = Threat(norm=norm)
        done = attack(problem.target, problem.images, labels, chosen, threat, epsilons, chunk=15)
        for epsilon, images, logits, success, distance in zip(
            done.epsilons, done.images, done.logits, done.success, done.distance, strict=True
        ):
            assert threat.distance(images, problem.images).max() <= epsilon + 1e-6
            assert images.min() >= 0
            assert images.max() <= 1
            np.testing.assert_allclose(distance, threat.distance(images, problem.images), atol=1e-5)
            np.testing.assert_allclose(problem.target.logits(images), logits, atol=1e-4)
            np.testing.assert_array_equal(logits.argmax(1) != labels, success)
        assert (done.success[0] <= done.success[1]).all(), "nested"
        assert done.success[:, :3].all(), "what is wrong from the start is wrong under attack"
        assert (done.queries >= 1).all()
        if not chosen.white_box:
            assert not done.gradients.any()


@pytest.mark.parametrize("name", ["fgsm", "pgd", "apgd-ce", "square", "noise", "deepfool", "universal"])
def test_eight_bit_images_are_on_grey_levels_and_within_epsilon(two_classes, name):
    grey = np.rint(two_classes.images * 255).astype(np.float32) / np.float32(255)
    norms = attack_named(name).norms
    threat = Threat(norm=norms[0] if norms[0] != "l2" else "linf", bits=8)
    done = attack(two_classes.target, grey, two_classes.labels, spec(name), threat, [1 / 255, 0.01])
    levels = done.images * 255
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)
    changed = np.rint(levels) - np.rint(grey * 255)
    assert np.abs(changed[0]).max() <= 1
    assert np.abs(changed[1]).max() <= 2
    if name not in ("universal", "deepfool"):  # these may find nothing that small
        assert np.abs(changed).max() > 0


def test_less_than_a_grey_level_is_nothing(two_classes):
    grey = np.rint(two_classes.images * 255).astype(np.float32) / np.float32(255)
    done = attack(two_classes.target, grey, two_classes.labels, "pgd", Threat(bits=8), [0.9 / 255])
    np.testing.assert_array_equal(done.images[0], grey)


@pytest.mark.parametrize(
    ("name", "norm"),
    [
        ("pgd(restarts=2)", "linf"),
        ("square(queries=40)", "linf"),
        ("square(queries=40)", "l2"),
        ("noise(draws=5)", "linf"),
        ("apgd-ce(steps=9)", "linf"),
        ("apgd-focused(steps=9, restarts=4, near=1.0)", "linf"),
        ("carlini-wagner(steps=20, searches=3)", "l2"),
        ("lbfgs(steps=20, searches=3)", "l2"),
        ("deepfool", "linf"),
        ("fab(steps=10)", "l2"),
        ("fmn(steps=20)", "linf"),
        ("fmn(steps=20)", "l0"),
        ("sigma-zero(steps=30)", "l0"),
        ("rays(queries=60, starts=2)", "linf"),
        ("hop-skip-jump(queries=120, directions=20)", "linf"),
        ("hop-skip-jump(queries=120, directions=20)", "l2"),
        ("spsa(steps=4, directions=6)", "linf"),
        ("smoothed-pgd(steps=4, copies=3)", "l2"),
    ],
)
def test_an_images_result_does_not_depend_on_its_neighbours(two_classes, name, norm):
    epsilon = float(np.quantile(two_classes.nearest[norm], 0.5, method="lower"))

    def done(rows, **settings):
        return attack(
            two_classes.target,
            two_classes.images[rows],
            two_classes.labels[rows],
            name,
            Threat(norm=norm),
            [epsilon],
            seed=3,
            places=rows,
            **settings,
        )

    everything = np.arange(40)
    whole = done(everything)
    with ThreadPoolExecutor(2) as pool:
        apart = done(everything, chunk=7, map=pool.map)
    backwards = done(everything[::-1].copy())
    alone = done(np.array([11]))
    np.testing.assert_array_equal(whole.success, apart.success)
    np.testing.assert_allclose(whole.images, apart.images, atol=1e-6)
    np.testing.assert_allclose(whole.images, backwards.images[:, ::-1], atol=1e-6)
    np.testing.assert_allclose(whole.images[:, 11], alone.images[:, 0], atol=1e-6)
    assert (whole.queries == apart.queries).all()


@pytest.mark.parametrize("n", [1, 16, 17, 1000])
def test_any_number_of_images(two_classes, n):
    images, labels = np.resize(two_classes.images, (n, 6, 6, 1)), np.resize(two_classes.labels, n)
    done = attack(two_classes.target, images, labels, "pgd(steps=3)", Threat(), [0.02, 0.2], chunk=300)
    assert done.success.shape == (2, n)
    assert done.images.shape == (2, n, 6, 6, 1)
    many = np.resize(done.success[0, :40], n) if n > 1 else done.success[0]
    assert (done.success[0] == many).mean() > 0.9, "copies of an image fare alike up to their random starts"


def test_the_tail_of_a_batch_is_filled_up_and_cut_off(two_classes):
    assert [(len(rows), real) for rows, real in batches(130, 128)] == [(128, 128), (16, 2)]
    images = np.resize(two_classes.images, (130, 6, 6, 1))
    logits = two_classes.target.logits(images)
    assert logits.shape == (130, 2)
    np.testing.assert_allclose(logits[-1], two_classes.target.logits(images[-1:])[0], atol=1e-5)


def test_an_ensemble_is_as_strong_as_each_of_its_parts(fourteen_classes):
    problem = fourteen_classes
    epsilon = [float(np.quantile(problem.nearest["linf"], 0.5))]
    chosen = Ensemble(steps=15, queries=50, targets=4)
    whole = attack(problem.target, problem.images, problem.labels, chosen, Threat(), epsilon)
    for part in chosen.parts(14):
        alone = attack(problem.target, problem.images, problem.labels, part, Threat(), epsilon)
        assert (whole.success >= alone.success).all(), part


def test_what_a_hunt_remembers_is_asked_again_for_images_that_were_not_there(two_classes):
    problem = two_classes
    keys = keys_of(0, np.arange(40))
    state = SearchState(problem.target, Threat(), problem.images, problem.labels, keys)
    state.at(0.1, restart=True)
    state.drop(np.arange(40) >= 10)
    asked = []

    def means():
        asked.append(len(state))
        return state.clean.mean(axis=(1, 2, 3))

    assert len(state.cached("means", means)) == 10
    state.drop(np.arange(10) >= 5)
    assert len(state.cached("means", means)) == 5
    state.at(0.2, restart=True)
    np.testing.assert_array_equal(state.cached("means", means), problem.images.mean(axis=(1, 2, 3)))
    assert asked == [10, 40]


def test_focused_restarts_are_counted_by_what_is_left_of_the_lead(two_classes):
    """On a linear model a share of 1 - epsilon / nearest of the lead is left after the first search."""
    far = two_classes.nearest["linf"]
    epsilon = float(np.quantile(far, 0.3))
    name = "apgd-focused(steps=30, restarts=5, near=0.5)"
    done = attack(two_classes.target, two_classes.images, two_classes.labels, name, Threat(), [epsilon])
    left = 1 - epsilon / far
    stand = far > epsilon * 1.01
    restarts = np.minimum(5, np.floor(0.5 / left[stand]))
    assert set(restarts) >= {0, 1, 5}, "images of every kind"
    clear = np.abs(0.5 / left[stand] - np.rint(0.5 / left[stand])) > 0.02
    np.testing.assert_array_equal(done.gradients[stand][clear], 31 * (1 + restarts[clear]))


def test_goals_are_classes(fourteen_classes):
    problem = fourteen_classes
    done = attack(
        problem.target, problem.images, problem.labels, "pgd(target=4, steps=30)", Threat(), [0.02, 0.3]
    )
    meant = problem.labels != 4
    np.testing.assert_array_equal(done.success, (done.logits.argmax(2) == 4) & meant)
    assert done.success[1][meant].mean() > 0.9
    assert not done.success[:, ~meant].any(), "an image of the goal's class is left alone"
    least = attack(
        problem.target,
        problem.images,
        problem.labels,
        "fgsm(target='least-likely')",
        Threat(),
        [0.05],
        nested=False,
    )
    aims = problem.target.logits(problem.images).argmin(1)
    before = problem.target.logits(problem.images)[np.arange(40), aims]
    assert (least.logits[0][np.arange(40), aims] > before).all()


def test_few_pixels_are_few_pixels(fourteen_classes):
    problem = fourteen_classes
    done = attack(problem.target, problem.images, problem.labels, "jsma", Threat(norm="l0"), [1, 3, 6])
    changed = (np.abs(done.images - problem.images) > 1e-6).any(axis=4).sum(axis=(2, 3))
    assert (changed <= np.array([[1], [3], [6]])).all()
    assert done.success[-1].mean() > 0.5
    with pytest.raises(FedrobustError, match="whole numbers"):
        attack(problem.target, problem.images, problem.labels, "one-pixel", Threat(norm="l0"), [0.5])


def test_a_universal_perturbation_is_one(two_classes):
    done = attack(two_classes.target, two_classes.images, two_classes.labels, "universal", Threat(), [0.05])
    right = two_classes.images[~done.success[0] | (done.distance[0] > 0)]
    change = (done.images[0] - two_classes.images)[done.distance[0] > 1e-6]
    np.testing.assert_allclose(change, np.broadcast_to(change[:1], change.shape), atol=1e-6)
    assert len(right)
    assert done.success.mean() > 0.3


@pytest.mark.parametrize("name", ["fgsm", "bim", "mi-fgsm", "pgd", "apgd-ce"])
@pytest.mark.parametrize("start", [False, True])
def test_an_image_that_is_wrong_as_it_is_stays_wrong(two_classes, name, start):
    if name != "apgd-ce":
        name = f"{name}(random_start={start})"
    wrong = 1 - two_classes.labels
    done = attack(two_classes.target, two_classes.images, wrong, name, Threat(), [1e-6])
    assert done.success.all()
    np.testing.assert_array_equal(done.images[0], two_classes.images)


def test_what_all_images_cost_together_is_counted_once(two_classes):
    problem, epsilons = two_classes, [0.01, 0.02]

    def shared(name):
        return attack(problem.target, problem.images, problem.labels, name, Threat(), epsilons).shared

    assert shared("pgd") == (0, 0)
    assert shared("universal(epochs=3)") == (2 * 3 * 40, 2 * 3 * 40), "one perturbation an epsilon"


def test_transfer_from_the_model_itself_is_a_white_box_attack(two_classes):
    from fedrobust.evasion import Transfer

    epsilon = float(np.quantile(two_classes.nearest["linf"], 0.6))
    done = attack(
        two_classes.target,
        two_classes.images,
        two_classes.labels,
        Transfer(surrogate=two_classes.target),
        Threat(),
        [epsilon],
    )
    np.testing.assert_array_equal(done.success[0], two_classes.nearest["linf"] < epsilon)
    assert not done.gradients.any(), "gradients are the surrogate's"


def test_a_surrogate_is_trained_by_asking(draw):
    """The exploratory attack: nothing of the model is used but its answers."""

    class Bright:
        shape, classes = (16, 16, 1), 2
        asked = 0

        def logits(self, images):
            self.asked += len(images)
            mean = (images[:, 4:12, 4:12].mean(axis=(1, 2, 3)) - 0.5) * 50
            return np.stack([-mean, mean], axis=1).astype(np.float32)

        def gradient(self, *_):
            raise NotDifferentiableError("answers only")

    target = Bright()
    shade = 0.5 + draw.choice([-0.05, 0.05], 200)[:, None, None, None]
    images = np.clip(shade + 0.1 * draw.normal(size=(200, 16, 16, 1)), 0, 1).astype(np.float32)
    labels = target.logits(images).argmax(1).astype(np.int32)
    target.asked = 0
    done = attack(target, images, labels, "transfer(queries=300)", Threat(), [0.1, 0.15])
    assert done.shared == (300, 0), "one surrogate for all epsilons"
    assert target.asked <= 300 + 3 * 200
    noise = attack(target, images, labels, "noise(draws=1)", Threat(), [0.15])
    assert done.success[1].mean() > noise.success.mean() + 0.3
    with pytest.raises(NotDifferentiableError):
        attack(target, images, labels, "pgd", Threat(), [0.1])


def test_tied_channels_move_together(draw):
    from tests.evasion.conftest import linear_problem

    problem = linear_problem(classes=3, shape=(5, 5, 3), seed=5)
    images = np.repeat(problem.images[..., :1], 3, axis=3)
    labels = problem.target.logits(images).argmax(1).astype(np.int32)
    for norm, epsilon in (("linf", 0.05), ("l2", 0.3)):
        threat = Threat(norm=norm, tied=True)
        done = attack(problem.target, images, labels, "pgd", threat, [epsilon])
        assert done.images.shape == (1, 40, 5, 5, 3)
        assert (done.images == done.images[..., :1]).all()
        assert Threat(norm=norm).distance(done.images[0], images).max() <= epsilon + 1e-6
        np.testing.assert_allclose(
            Threat(norm=norm).distance(done.images[0], images), done.distance[0], atol=1e-5
        )
        free = attack(problem.target, images, labels, "pgd", Threat(norm=norm), [epsilon])
        assert free.success.sum() >= done.success.sum()
    seen = Tied(problem.target).gradient(images[..., :1], labels, "margin")
    whole = problem.target.gradient(images, labels, "margin")
    np.testing.assert_allclose(seen.gradients[..., 0], whole.gradients.sum(3), atol=1e-5)
    with pytest.raises(FedrobustError, match="channels of these images differ"):
        attack(problem.target, problem.images, labels, "pgd", Threat(tied=True), [0.1])


def test_gradients_that_are_not_numbers_do_no_harm(two_classes):
    class Broken:
        shape, classes = (6, 6, 1), 2

        def logits(self, images):
            return two_classes.target.logits(images)

        def gradient(self, images, labels, loss, targets=None):
            return Slopes(self.logits(images), np.zeros(len(images)), np.full_like(images, np.nan))

    for name in ("fgsm", "pgd(steps=3)", "apgd-ce(steps=5)", "deepfool(steps=2)"):
        done = attack(Broken(), two_classes.images, two_classes.labels, name, Threat(), [0.05])
        assert np.isfinite(done.images).all()


@pytest.mark.parametrize(
    ("name", "threat", "epsilons", "message"),
    [
        ("jsma", Threat(), [0.1], "supports l0"),
        ("pgd", Threat(), [], "give at least one"),
        ("pgd", Threat(), [-0.1], "above 0"),
        ("pgd(target=7)", Threat(), [0.1], "classes 0 to 1"),
        ("pgd(stepz=7)", Threat(), [0.1], "has no setting 'stepz'"),
        ("pgd(steps=0)", Threat(), [0.1], "steps = 0: choose a whole number from 1"),
        ("pgd(loss='hinge')", Threat(), [0.1], "choose stable-cross-entropy, cross-entropy, margin or dlr"),
        ("pgd(restarts=2, random_start=False)", Threat(), [0.1], "every restart would give the same result"),
        ("fast", Threat(), [0.1], "is no evasion attack"),
        ("pgd", Threat(tied=True), [0.1], "only colour"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(two_classes, name, threat, epsilons, message):
    with pytest.raises(FedrobustError, match=message):
        attack(two_classes.target, two_classes.images, two_classes.labels, name, threat, epsilons)


def test_images_and_labels_are_checked(two_classes):
    for images, labels, message in (
        (two_classes.images * 255, two_classes.labels, r"give images in \[0, 1\]"),
        (two_classes.images[:, :5], two_classes.labels, "the model takes"),
        (two_classes.images, two_classes.labels[:3], "one an image"),
        (two_classes.images, two_classes.labels + 5, "classes 0 to 1"),
    ):
        with pytest.raises(FedrobustError, match=message):
            attack(two_classes.target, images, labels, "fgsm", Threat(), [0.1])
    with pytest.raises(FedrobustError, match="are between grey levels"):
        Threat(bits=8, space="prepared")


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_studies_know_every_attack_that_searches_in_their_norm(name, norm):
    settings = {"evaluation__attacks": [name], "evaluation__norm": norm}
    if norm in ATTACKS[name].norms:
        assert Experiment.of(**settings).evaluation.attacks == (name,)
    else:
        with pytest.raises(ConfigError, match=f'attacks = "{name}": it searches in .*norm = "{norm}"'):
            Experiment.of(**settings)


def test_more_steps_and_restarts_never_break_less(two_classes):
    epsilon = [float(np.quantile(two_classes.nearest["linf"], 0.5))]
    few = attack(
        two_classes.target, two_classes.images, two_classes.labels, "noise(draws=3)", Threat(), epsilon
    )
    more = attack(
        two_classes.target, two_classes.images, two_classes.labels, "noise(draws=30)", Threat(), epsilon
    )
    assert (more.success >= few.success).all()
    reports = []
    attack(
        two_classes.target,
        two_classes.images,
        two_classes.labels,
        "pgd",
        Threat(),
        epsilon,
        report=reports.append,
    )
    assert reports[-1].left == 0
    assert reports[-1].done > reports[0].done


@pytest.mark.parametrize(
    ("spec", "other"), [("apgd-t(target=1)", "1"), ("apgd-focused(target='least-likely')", "'least-likely'")]
)
def test_attacks_on_classes_in_turn_have_no_target(spec, other):
    with pytest.raises(SpecError, match=rf"target = {other}: .* likeliest wrong classes in turn"):
        attack_named(spec)


def test_images_that_no_file_holds_are_refused_with_bits(two_classes):
    images = two_classes.images[:4] * np.float32(0.999) + np.float32(0.0007)
    labels = np.zeros(4, np.int32)
    with pytest.raises(ThreatError, match="images are not grey levels"):
        attack(two_classes.target, images, labels, "fgsm", Threat(bits=8), [0.1])


def test_rays_keeps_to_its_queries(two_classes):
    images, labels = two_classes.images[:8], two_classes.labels[:8]
    found = attack(two_classes.target, images, labels, "rays(queries=20)", Threat(), [4 / 255])
    assert found.queries.max() <= 21
