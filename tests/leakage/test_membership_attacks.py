"""Membership attacks on hand-made confidences: closed forms, formulas written out, what must not matter."""

import numpy as np
import pytest
from scipy import stats

from fedrobust.leakage import LEAKAGE, Evidence, MembershipAttack, confidence, leakage_attack_named
from fedrobust.leakage.attacks.lira import LiRA, gaussian
from fedrobust.leakage.attacks.rmia import RMIA
from fedrobust.leakage.attacks.trajectory import logistic_regression
from fedrobust.leakage.confidence import probability
from fedrobust.spec import SpecError

MEMBERSHIP = [name for name in LEAKAGE if issubclass(LEAKAGE[name], MembershipAttack)]


def balanced(draw, shadows, images):
    """Return members (shadows, images): every image in one of each pair of shadows."""
    halves = draw.random((shadows // 2, images)) < 0.5
    return np.stack([halves, ~halves], axis=1).reshape(shadows, images)


def evidence(draw, shadows=16, images=300, rounds=3, effect=1.0):
    """Return the evidence of a world in which members have `effect` more confidence, and who is a member."""
    members = balanced(draw, shadows, images)
    hardness = draw.normal(0, 3, images)
    inside = draw.random(images) < 0.5
    growth = np.linspace(0, 1, rounds)[:, None]
    target = hardness + effect * growth * inside + draw.normal(size=(rounds, images))
    seen = hardness + effect * growth * members[:, None] + draw.normal(size=(shadows, rounds, images))
    others = draw.normal(0, 3, 80)
    made = Evidence(
        target,
        seen,
        members,
        others + draw.normal(size=80),
        others + draw.normal(size=(shadows, 80)),
        draw.normal(size=(2, images)) + inside,
    )
    return made, inside


def auc(scores, inside):
    return stats.mannwhitneyu(scores[inside], scores[~inside]).statistic / inside.sum() / (~inside).sum()


@pytest.mark.parametrize("name", MEMBERSHIP)
def test_every_attack_gives_finite_scores_that_rise_with_membership_and_leaves_its_evidence_alone(name):
    draw = np.random.default_rng(3)
    seen, inside = evidence(draw, effect=3.0)
    before = [array.copy() for array in vars(seen).values()]
    attack = leakage_attack_named(name)
    scores = attack(seen)
    assert scores.shape == inside.shape
    assert np.isfinite(scores).all()
    assert auc(scores, inside) > 0.6
    np.testing.assert_array_equal(scores, attack(seen))
    for array, old in zip(vars(seen).values(), before, strict=True):
        np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize("name", MEMBERSHIP)
def test_without_an_effect_no_attack_finds_members(name):
    found = []
    for seed in range(6):
        seen, inside = evidence(np.random.default_rng(seed), effect=0.0)
        if name == "update-alignment":
            seen.alignments[:] -= inside
        found.append(auc(leakage_attack_named(name)(seen), inside))
    assert abs(np.mean(found) - 0.5) < 3 * np.sqrt(1 / 12 * (1 / 150 + 1 / 150) / 6) + 0.01


def test_calibration_finds_what_one_threshold_for_all_images_does_not():
    seen, inside = evidence(np.random.default_rng(0), images=2000, effect=2.0)
    loss, lira = (auc(leakage_attack_named(name)(seen), inside) for name in ("loss", "lira"))
    assert loss < 0.7
    assert lira == pytest.approx(
        stats.norm.cdf(2 / np.sqrt(2)), abs=0.03
    )  # two Gaussians two deviations apart


def test_confidence_is_the_log_odds_of_the_softmax():
    draw = np.random.default_rng(1)
    logits, labels = draw.normal(0, 4, (50, 5)), draw.integers(0, 5, 50)
    p = np.exp(logits)[np.arange(50), labels] / np.exp(logits).sum(axis=1)
    np.testing.assert_allclose(confidence(logits, labels), np.log(p / (1 - p)))
    np.testing.assert_allclose(probability(confidence(logits, labels)), p)
    assert confidence(np.array([[500.0, -500.0]], np.float32), np.array([0]))[0] == 1000


def test_lira_online_is_the_likelihood_ratio_of_two_gaussians_of_each_image():
    draw = np.random.default_rng(5)
    seen, _ = evidence(draw, shadows=12, images=40)
    expected = []
    for image in range(40):
        there = seen.shadows[seen.members[:, image], -1, image]
        without = seen.shadows[~seen.members[:, image], -1, image]
        own = seen.target[-1, image]
        expected.append(
            stats.norm.logpdf(own, there.mean(), there.std(ddof=1))
            - stats.norm.logpdf(own, without.mean(), without.std(ddof=1))
        )
    np.testing.assert_allclose(LiRA(form="online", variance="image")(seen), expected)


def test_lira_offline_orders_as_the_tail_of_the_gaussian_without_the_image():
    draw = np.random.default_rng(6)
    seen, _ = evidence(draw, shadows=12, images=40)
    tails = []
    for image in range(40):
        without = seen.shadows[~seen.members[:, image], -1, image]
        tails.append(stats.norm.cdf(seen.target[-1, image], without.mean(), without.std(ddof=1)))
    scores = LiRA(form="offline", variance="image")(seen)
    np.testing.assert_allclose(stats.norm.cdf(scores), tails)


def test_liras_shared_variance_is_that_of_all_residuals():
    draw = np.random.default_rng(7)
    seen, _ = evidence(draw, shadows=4, images=30)
    residuals = []
    for image in range(30):
        without = seen.shadows[~seen.members[:, image], -1, image]
        residuals += list(without - without.mean())
    deviation = np.sqrt(
        np.square(residuals).sum() / 30
    )  # two shadows without each image: one degree of freedom
    means = [seen.shadows[~seen.members[:, image], -1, image].mean() for image in range(30)]
    np.testing.assert_allclose(LiRA(form="offline")(seen), (seen.target[-1] - means) / deviation)


def test_liras_choices_by_itself():
    draw = np.random.default_rng(8)
    few, _ = evidence(draw, shadows=16, images=20)
    many, _ = evidence(draw, shadows=64, images=20)
    np.testing.assert_array_equal(LiRA()(few), LiRA(form="online", variance="shared")(few))
    np.testing.assert_array_equal(LiRA()(many), LiRA(form="online", variance="image")(many))
    few.members[:, 3] = False  # an image that no shadow has, such as a test image
    np.testing.assert_array_equal(LiRA()(few), LiRA(form="offline", variance="shared")(few))
    with pytest.raises(ValueError, match=r'0 shadow federations of a kind.*form = "offline"'):
        LiRA(form="online")(few)


@pytest.mark.parametrize("population", ["validation", "all"])
def test_rmia_is_the_papers_formula_written_out(population):
    seen, _ = evidence(np.random.default_rng(9), shadows=6, images=25)
    a, gamma = 0.4, 1.3

    def p(confidences):
        return 1 / (1 + np.exp(-confidences))

    def ratio_of_attacked(image):
        out = [p(seen.shadows[s, -1, image]) for s in range(6) if not seen.members[s, image]]
        return p(seen.target[-1, image]) / ((1 + a) / 2 * np.mean(out) + (1 - a) / 2)

    ratios = []
    for z in range(80):
        mean_z = np.mean([p(seen.shadow_population[s, z]) for s in range(6)])
        ratios.append(p(seen.population[z]) / ((1 + a) / 2 * mean_z + (1 - a) / 2))
    if population == "all":
        ratios += [ratio_of_attacked(image) for image in range(25)]
    expected = [np.mean([ratio_of_attacked(image) / z >= gamma for z in ratios]) for image in range(25)]
    np.testing.assert_allclose(RMIA(a=a, gamma=gamma, population=population)(seen), expected)


def test_rmia_with_few_validation_images_still_tells_the_attacked_ones_apart():
    """With three of them there are four scores; the order within a model is that of the ratios alone."""
    seen, inside = evidence(np.random.default_rng(12), images=400, effect=3.0)
    few = Evidence(
        seen.target, seen.shadows, seen.members, seen.population[:3], seen.shadow_population[:, :3]
    )
    coarse, fine = RMIA(population="validation")(few), RMIA()(few)
    assert len(np.unique(coarse)) <= 4
    assert len(np.unique(fine)) > 300
    assert auc(fine, inside) > auc(coarse, inside)


@pytest.mark.parametrize("name", ["lira", "rmia", "trajectory"])
def test_the_order_of_shadows_does_not_matter(name):
    seen, _ = evidence(np.random.default_rng(10))
    order = np.random.default_rng(0).permutation(len(seen.shadows))
    other = Evidence(
        seen.target, seen.shadows[order], seen.members[order], seen.population, seen.shadow_population[order]
    )
    attack = leakage_attack_named(name)
    np.testing.assert_allclose(attack(other), attack(seen), rtol=1e-9)


def test_logistic_regression_finds_the_odds_that_made_the_labels():
    draw = np.random.default_rng(11)
    rows = draw.normal(size=(20_000, 2))
    positive = draw.random(20_000) < 1 / (1 + np.exp(-(rows @ [1.5, -0.5] + 0.7)))
    np.testing.assert_allclose(logistic_regression(rows, positive, 1e-6), [1.5, -0.5, 0.7], atol=0.06)


def test_settings_are_checked():
    assert leakage_attack_named("lira", shadows=8).federations == 8
    assert leakage_attack_named("loss", shadows=8).federations == 0
    with pytest.raises(SpecError, match="shadows"):
        leakage_attack_named("lira(shadows=1)")
    with pytest.raises(SpecError, match="form"):
        leakage_attack_named("lira(form='both')")


def test_a_variance_of_single_shadows_is_refused():
    with pytest.raises(ValueError, match="two shadow federations of a kind"):
        gaussian(np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[True, False], [False, True]]), shared=True)
