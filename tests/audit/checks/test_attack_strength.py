"""Were the attacks strong enough? Judged from made-up results: borders, figures, sentences, sources."""

import numpy as np
import pytest

from fedrobust.audit import Outcome, Plan
from fedrobust.audit.checks import attack_strength, gradient_masking
from fedrobust.audit.mcnemar import mcnemar
from fedrobust.evasion import Threat
from tests.audit.made_up import EPSILON, named, result, search, told, white_box

PASSED, FAILED = Outcome.PASSED, Outcome.FAILED
NOT_APPLICABLE, NOT_MADE = Outcome.NOT_APPLICABLE, Outcome.NOT_MADE


def outcome(failed: bool) -> Outcome:
    return FAILED if failed else PASSED


def test_pairs_that_differ_one_way_are_more_than_chance_from_five_on():
    assert mcnemar(0, 0) == 1.0
    assert [mcnemar(more, 0) for more in (1, 4, 5)] == [0.5, 1 / 16, 1 / 32]
    assert mcnemar(9, 2) == pytest.approx(67 / 2048)
    assert mcnemar(2, 9) == pytest.approx(1 - 12 / 2048)


# -- Two attacks beside one another ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "only_margin", "only_entropy", "failed"),
    [
        (200, 0, 0, False),
        (200, 4, 0, False),  # by chance
        (200, 5, 0, True),
        (500, 5, 0, False),  # one point, no more
        (499, 5, 0, True),
        (200, 8, 2, False),
        (200, 9, 2, True),
        (200, 0, 9, False),
    ],
)
def test_another_loss_breaks_no_more(n, only_margin, only_entropy, failed):
    both, more = 20, 20 + only_margin
    found = gradient_masking.loss_swap(
        search(
            n,
            textbook=result([*range(both), *range(more, more + only_entropy)], n=n),
            margin=result(more, n=n),
        )
    )
    figure, sentence = told(found, outcome(failed))
    gain = 100 * (only_margin - only_entropy) / n
    assert figure == f"the margin breaks {gain:+.1f} points of {n} images against cross-entropy"
    assert sentence == (
        "Another loss breaks images that cross-entropy does not: an evaluation by cross-entropy alone, as in "
        "most papers, would overestimate the robustness."
        if failed
        else "Both losses break about as many images."
    )
    assert found.details == {"only margin": only_margin, "only cross-entropy": only_entropy, "n": n}


@pytest.mark.parametrize(
    ("n", "lost", "failed"), [(200, 0, False), (200, 2, False), (200, 3, True), (50, 1, False), (50, 2, True)]
)
@pytest.mark.parametrize("found_by", ["pgd", "longer"])
def test_one_step_breaks_what_many_break(n, lost, failed, found_by):
    parts = {"pgd": result(0, n=n), "longer": result(0, n=n), found_by: result(range(lost, 30), n=n)}
    found = gradient_masking.iterative_beats_single_step(search(n, single_step=result(20, n=n), **parts))
    figure, sentence = told(found, outcome(failed))
    assert figure == f"{lost} of {n} ({100 * lost / n:.1f} %) broken by FGSM and not by PGD"
    assert sentence == (
        "Many small steps fail where one large step succeeds: the gradient near the images is misleading."
        if failed
        else "PGD breaks the images that FGSM breaks."
    )
    assert found.details == {"lost": lost, "n": n}


@pytest.mark.parametrize(
    ("counts", "rises"),
    [
        ([0, 10, 20], []),
        ([10, 10, 10], []),
        ([10, 4, 4], []),  # six lost and none won may be chance at 1 %
        ([10, 3, 3], [0.05]),
        ([0, 10, 3], [0.1]),
        ([20, 10, 0], [0.05, 0.1]),
    ],
)
def test_a_larger_epsilon_breaks_no_less(counts, rises):
    curve = result(*counts, epsilons=(0.01, 0.05, 0.1))
    found = attack_strength.monotone(search(curve=curve))
    figure, sentence = told(found, outcome(bool(rises)))
    assert figure == (
        f"accuracy rises at {', '.join(map(str, rises))}"
        if rises
        else "accuracy does not rise over 3 epsilons"
    )
    assert sentence == (
        "The attack breaks fewer images at a larger epsilon: it is not reliable."
        if rises
        else "The attack breaks at least as many images at every larger epsilon."
    )
    assert found.details == {"rises": rises}


def test_as_many_lost_as_won_is_no_rise_and_won_ones_count_against_it():
    def found(lost, won):
        first, second = range(lost), range(lost, lost + won)
        return attack_strength.monotone(search(curve=result(first, second, epsilons=(0.05, 0.123456))))

    assert not found(9, 9).failed
    assert not found(12, 4).failed
    assert found(13, 2).figure == "accuracy rises at 0.1235"


@pytest.mark.parametrize(("classes", "chance", "rule"), [(2, 100, "50 %"), (4, 50, "25 %")])
def test_nobody_is_right_about_grey_images(classes, chance, rule):
    for right in (0, chance, chance + 1):
        found = attack_strength.large_epsilon(search(classes=classes, unbounded=result(200 - right)))
        figure, sentence = told(found, outcome(right > chance))
        assert figure == f"{right} of 200 ({right / 2:.1f} %) right where every pixel may become grey"
        assert sentence == (
            "The attack fails although it may replace the whole image: it does not work on this model."
            if right > chance
            else "With an unbounded epsilon the attack breaks the model."
        )
        assert found.rule == f"at epsilon 0.5 accuracy is at most chance, {rule}"
        assert found.details == {"right": right, "n": 200}


@pytest.mark.parametrize(
    ("check", "part", "what"),
    [("converged", "longer", "A longer search"), ("restarts", "restarted", "Restarting")],
)
@pytest.mark.parametrize(
    ("n", "more", "failed"), [(200, 0, False), (200, 2, False), (200, 3, True), (50, 1, False), (50, 2, True)]
)
def test_more_of_the_same_finds_nothing_new(check, part, what, n, more, failed):
    found = named(check)(search(n, pgd=result(10, n=n), **{part: result(10 + more, n=n)}))
    figure, sentence = told(found, outcome(failed))
    assert figure == f"{100 * more / n:+.1f} points of {n} images"
    assert sentence == (
        f"{what} breaks more images: the attack had not converged, and may still not have."
        if failed
        else f"{what} breaks no more images."
    )
    assert found.details == {"before": 10, "after": 10 + more, "n": n}


def test_what_breaks_at_a_smaller_epsilon_is_broken():
    curve = result(30, 10, epsilons=(EPSILON / 2, EPSILON))
    assert attack_strength.converged(search(pgd=result(10), longer=curve)).details["after"] == 30


# -- Attacks on what gradients left standing -------------------------------------------------------------------------

ADDING = {
    "substitute_gradients": (
        "substituted",
        "Substitute gradients of Round, Floor break more than the model's own: its gradients are masked.",
        "Substitute gradients of Round, Floor break no more than the model's own.",
    ),
    "below_the_head": (
        "hidden_layer_attacks",
        "Attacks on hidden layers break more than the model's own gradient: the last layers mask it.",
        "Attacks on hidden layers break no more than the model's own gradient.",
    ),
    "smoothed_gradients": (
        "smoothed",
        "Gradients averaged over a neighbourhood break more than those at one point, which are noisy or oscillate.",
        "Gradients averaged over a neighbourhood break no more.",
    ),
    "black_box": (
        "black_box",
        "Black-box attacks break images that gradient attacks did not: the gradients are masked.",
        "Black-box attacks break no more than gradient attacks.",
    ),
    "transfer": (
        "transferred",
        "Transfer attacks break images that gradient attacks did not: the gradients are masked.",
        "Transfer attacks break no more than gradient attacks.",
    ),
}


def adding(check, *results, **settings):
    settings.setdefault("substituted", (None, ("Round", "Floor")))
    made = search(**settings)
    setattr(made, ADDING[check][0], list(results))
    return named(check)(made)


@pytest.mark.parametrize("check", ADDING)
@pytest.mark.parametrize(
    ("n", "fallen", "failed"),
    [(200, 0, False), (200, 1, False), (200, 2, True), (1000, 5, False), (1000, 6, True)],
)
def test_half_a_point_may_fall_to_other_searches(check, n, fallen, failed):
    every_second = result(2 * fallen, n=n, rows=range(0, n, 2), name="first")
    found = adding(check, every_second, n=n)
    figure, sentence = told(found, outcome(failed))
    assert figure == (
        f"{fallen} of {n} ({100 * fallen / n:.1f} %) broken by 1 more attack, after gradient attacks had failed"
    )
    assert sentence == ADDING[check][1 if found.failed else 2]
    assert found.details == {"first": fallen, "n": n}


@pytest.mark.parametrize("check", ADDING)
def test_what_several_searches_break_is_counted_once(check):
    one = result([4, 5, 6], rows=range(100), name="one")
    other = result([6, 7], rows=range(5, 50), name="other")
    none = result([], rows=[], name="none")
    found = adding(check, one, other, none)
    figure, sentence = told(found, FAILED)
    assert figure == "4 of 200 (2.0 %) broken by 3 more attacks, after gradient attacks had failed"
    assert sentence == ADDING[check][1]
    assert found.details == {"one": 3, "other": 2, "none": 0, "n": 200}


def test_a_model_without_operations_that_hide_has_no_substitute_gradients():
    assert told(adding("substitute_gradients", substituted=None), NOT_APPLICABLE) == (
        "-",
        "The graph of the model has no operation that rounds, stops or saturates.",
    )


def test_a_model_without_hidden_layers_that_differ_passes():
    assert told(adding("below_the_head"), PASSED) == (
        "no such layer",
        "No hidden layer was found whose gradient differs from the model's.",
    )


def test_blind_searches_without_images_break_nothing():
    figure, _ = told(adding("black_box"), PASSED)
    assert figure == "0 of 200 (0.0 %) broken by 0 more attacks, after gradient attacks had failed"


@pytest.mark.parametrize("check", ["below_the_head", "smoothed_gradients", "asked_seriously", "transfer"])
def test_a_quick_audit_does_not_look_there_and_says_so(check):
    made = search(effort="quick", below=[], smoothed=[], black_box=[result(9)], transferred=[])
    found = named(check)(made)
    sentence = "Not made at the quick effort: run the audit with --effort standard."
    assert told(found, NOT_MADE) == ("-", sentence)
    assert found.details == {}
    assert found.open


def test_how_seriously_a_model_was_asked_is_counted():
    searches = [
        result([], rows=range(30), name="square(queries=1000)", queries=811.6),
        result([], rows=range(64), name="hop-skip-jump(queries=1000)", queries=990.2),
        result([], rows=[], name="spsa(steps=20)", queries=0.0),
    ]
    found = attack_strength.asked_seriously(search(black_box=searches))
    assert told(found, PASSED) == (
        "2 searches, up to 990 queries for each of up to 64 images",
        "The model was also attacked by black-box attacks, which use its outputs alone.",
    )
    assert found.details == {"queries": {"square(queries=1000)": 812, "hop-skip-jump(queries=1000)": 990}}
    figure, _ = told(attack_strength.asked_seriously(search(black_box=[])), PASSED)
    assert figure == "0 searches, up to 0 queries for each of up to 0 images"


# -- Is the attack to be believed? -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        (20, 30, ""),
        (16, 20, ""),  # four more are right under attack: by chance
        (15, 20, "0.05 (+5 images)"),
        (20, 10, "0.1235 (+10 images)"),
        (0, 10, "0.05 (+20 images), 0.1235 (+10 images)"),
    ],
)
def test_attacked_images_are_not_easier_than_clean_ones(first, second, text):
    single = result(first, second, epsilons=(0.05, 0.123456))
    made = search(single_step=single)
    made.cache.right = np.arange(200) >= 20
    found = gradient_masking.label_leaking(made)
    figure, sentence = told(found, outcome(bool(text)))
    assert figure == (f"better than clean at {text}" if text else "never better than clean")
    assert sentence == (
        "The model infers the true class from the single-step perturbation that it was trained on."
        if text
        else "The perturbation does not reveal the true class."
    )
    assert found.details == {"rises": text.split(", ") if text else []}


def test_what_is_lost_counts_against_what_is_gained():
    made = search(single_step=result([*range(5, 20), *range(50, 53)]))
    made.cache.right = np.arange(200) >= 20
    assert not gradient_masking.label_leaking(made).failed, "five gained, three lost"
    made.single_step = result([*range(5), *range(50, 53)])
    assert gradient_masking.label_leaking(made).figure == "better than clean at 0.1 (+12 images)"


HIDDEN = ("logits x 1024", "pgd(steps=20)")
CONTROL = ("control twin", "pgd(steps=20)")


@pytest.mark.parametrize(
    ("n", "lost", "won", "failed"),
    [
        (200, 0, 0, False),
        (200, 4, 0, False),
        (200, 5, 0, True),
        (200, 9, 5, False),
        (1000, 10, 0, False),
        (1000, 12, 2, False),
    ],
)
def test_the_attack_sees_through_planted_masking(n, lost, won, failed):
    target = white_box()
    hidden = result([*range(lost, 40), *range(40, 40 + won)], n=n)
    made = search(n, pgd=result(40, n=n), target=target, runs={HIDDEN: hidden})
    found = attack_strength.attack_validated(made)
    figure, sentence = told(found, outcome(failed))
    assert figure == f"{40 - lost + won} of {n} broken with masked gradients, 40 without"
    assert sentence == (
        "The attack fails on a model that is known to be vulnerable: its failure on this model proves nothing."
        if failed
        else "The attack breaks models that are known to be vulnerable."
    )
    assert found.details == {"plain": 40, "n": n, "hidden": 40 - lost + won}
    [(_, epsilons, asked, _, settings)] = made.asked
    assert (asked.scale, asked.compiled, epsilons, settings) == (1024.0, target.compiled, None, {})


@pytest.mark.parametrize(("norm", "far"), [("linf", 0.1), ("l2", 1.0)])
@pytest.mark.parametrize(("left", "failed"), [(0, False), (10, False), (11, True)])
def test_the_attack_breaks_a_control_at_a_large_epsilon(norm, far, left, failed):
    control = object()
    made = search(
        pgd=result(0),
        control=("twin", control),
        runs={CONTROL: result(200 - left)},
        plan=Plan(epsilon=EPSILON, threat=Threat(norm=norm)),
    )
    found = attack_strength.attack_validated(made)
    figure, _ = told(found, outcome(failed))
    assert (
        figure
        == f"200 images; {left} of 200 ({left / 2:.1f} %) of the control's images not broken at {far:.3g}"
    )
    assert found.details == {"plain": 0, "n": 200, "control left": left}
    assert made.asked == [("pgd(steps=20)", [far], control, "control twin", {})]


def test_one_failure_of_the_attack_is_enough():
    runs = {HIDDEN: result(10), CONTROL: result(200)}
    made = search(pgd=result(40), control=("twin", object()), runs=runs, target=white_box())
    found = attack_strength.attack_validated(made)
    figure, _ = told(found, FAILED)
    assert (
        figure
        == "10 of 200 broken with masked gradients, 40 without; 0 of 200 (0.0 %) of the control's images not "
        "broken at 0.1"
    )


def test_without_a_control_or_a_broken_image_there_is_nothing_to_try_the_attack_on():
    found = attack_strength.attack_validated(search(pgd=result(0), target=white_box()))
    sentence = "No image was broken, and no control was given: the attack cannot be validated."
    assert told(found, NOT_APPLICABLE) == ("-", sentence)
    assert found.details == {}
    assert attack_strength.attack_validated(search(pgd=result(1))).outcome is PASSED


# -- What all of them say --------------------------------------------------------------------------------------------

ABOUT = {
    "loss_swap": (
        "gradient masking: another loss breaks more",
        "PGD on the margin breaks at most 1 point more than on cross-entropy, or no more than by chance",
        "Carlini and Wagner (2016), arXiv:1608.04644",
    ),
    "iterative_beats_single_step": (
        "gradient masking: single step beats iterations",
        "at most 1 % of the images are broken by FGSM and not by PGD",
        "Athalye et al. (2018), arXiv:1802.00420; Carlini et al. (2019), arXiv:1902.06705",
    ),
    "monotone": (
        "failing attack: breaks less at a larger epsilon",
        "no rise of accuracy from one epsilon to the next beyond chance (McNemar, 1 %)",
        "Carlini et al. (2019), arXiv:1902.06705, section 5",
    ),
    "large_epsilon": (
        "failing attack: images survive an unbounded epsilon",
        "at epsilon 0.5 accuracy is at most chance, 50 %",
        "Carlini et al. (2019), arXiv:1902.06705, section 5",
    ),
    "converged": (
        "failing attack: more steps break more",
        "twice the steps of PGD break less than 1 point more",
        "Carlini et al. (2019), arXiv:1902.06705",
    ),
    "restarts": (
        "failing attack: more restarts break more",
        "five more restarts of PGD break less than 1 point more",
        "Carlini et al. (2019), arXiv:1902.06705",
    ),
    "smoothed_gradients": (
        "obfuscated gradients: smoothing breaks more",
        "PGD along gradients averaged around each image breaks at most 0.5 points more",
        "Athalye et al. (2018), arXiv:1802.00420, section 4.2 (EOT); Smilkov et al. (2017), arXiv:1706.03825",
    ),
    "label_leaking": (
        "label leaking: attacked beats clean",
        "accuracy under FGSM is at no epsilon above the clean one (McNemar, 5 %)",
        "Kurakin et al. (2016), arXiv:1611.01236, section 4.1",
    ),
    "attack_validated": (
        "failing attack: planted masking is not seen",
        "the attack breaks as many images (McNemar, 5 %) when the model's logits are multiplied by 1,024 (a "
        "known form of gradient masking), and leaves at most 5 % of the undefended control at epsilon 0.1",
        "Carlini et al. (2019), arXiv:1902.06705; the masking is that of arXiv:1511.04508, broken in 1608.04644",
    ),
    "substitute_gradients": (
        "gradient masking: BPDA breaks more",
        "PGD along substitute gradients breaks at most 0.5 points more than the model's own gradients",
        "Athalye et al. (2018), arXiv:1802.00420, section 4.1 (BPDA)",
    ),
    "below_the_head": (
        "gradient masking: hidden layers break more",
        "PGD along read-outs of hidden layers, fitted on clean images, breaks at most 0.5 points more",
        "Carlini and Wagner (2016), arXiv:1608.04644; Tramer et al. (2020), arXiv:2002.08347",
    ),
    "black_box": (
        "gradient masking: black-box beats white-box",
        "black-box attacks (noise, radial probes, Square; above the quick effort also decision-based and "
        "estimated gradients) break at most 0.5 points more than gradient attacks",
        "Croce and Hein (2020), AutoAttack's flags; Carlini et al. (2019), arXiv:1902.06705",
    ),
    "asked_seriously": (
        "black-box attacks: not made",
        "decision-based search, estimated gradients and Square with thousands of queries were made",
        "Chen et al. (2019), arXiv:1904.02144; Carlini et al. (2019), arXiv:1902.06705",
    ),
    "transfer": (
        "gradient masking: transfer beats white-box",
        "adversarial images of a surrogate, trained on the model's outputs, and of other models break at most "
        "0.5 points more than gradient attacks",
        "Papernot et al. (2016), arXiv:1602.02697; Carlini et al. (2019), arXiv:1902.06705",
    ),
}
"""Name, rule and source of every check; the first nine need the model's gradient."""


def search_with(broken: int, **settings):
    """Return a search in which every attack broke so many images."""
    many = result(broken, broken, epsilons=(EPSILON / 2, EPSILON))
    single = dict.fromkeys(
        ("textbook", "margin", "single_step", "pgd", "longer", "curve", "unbounded", "restarted"), many
    )
    made = search(**{**single, **settings})
    for several, _, _ in ADDING.values():
        setattr(made, several, [many])
    made.cache.substituted = (None, ("Round",))
    return made


@pytest.mark.parametrize("check", ABOUT)
def test_a_check_has_its_name_rule_and_source_whatever_comes_of_it(check):
    made = [search_with(0), search_with(200), search_with(9, effort="quick")]
    made.append(search_with(9, differentiable=False))
    if check in ("transfer", "below_the_head", "substitute_gradients"):
        made.append(search_with(0))
        made[-1].transferred = made[-1].hidden_layer_attacks = []
        made[-1].cache.substituted = None
    for one in made:
        found = named(check)(one)
        assert (found.check, found.rule, found.source) == ABOUT[check]


@pytest.mark.parametrize("check", list(ABOUT)[:9])
def test_without_a_gradient_there_is_nothing_to_compare(check):
    found = named(check)(search_with(9, differentiable=False))
    sentence = "The model has no gradient for gradient attacks: see vanishing gradient."
    assert told(found, NOT_APPLICABLE) == ("-", sentence)
    assert found.details == {}
