"""What is left of a model's answers, and of which images: judged from made-up results."""

import numpy as np
import pytest

from fedrobust.audit import Outcome, Plan, Weight
from fedrobust.audit.checks import behaviour, comparison, protocol
from fedrobust.audit.collapse import collapse_of_counts, serious, signs_of_collapse, too_few
from fedrobust.audit.lead import Lead, _ratio
from fedrobust.evaluation.intervals import mean_of_proportions
from fedrobust.evasion import StraightThrough, Threat, Transfer
from tests.audit.made_up import EPSILON, named, result, search, told, white_box

PASSED, FAILED, NOT_APPLICABLE = Outcome.PASSED, Outcome.FAILED, Outcome.NOT_APPLICABLE
LABELS = np.arange(200, dtype=np.int32) % 2


def outcome(failed: bool) -> Outcome:
    return FAILED if failed else PASSED


def logits(wrong: int, labels=LABELS, classes=2) -> np.ndarray:
    """Return logits that are wrong on the first images, by the next class."""
    return np.eye(classes)[(labels + (np.arange(len(labels)) < wrong)) % classes]


# -- Signs of collapse -----------------------------------------------------------------------------------------------


def test_a_constant_answer_has_every_sign():
    labels = np.array([0] * 120 + [1] * 80)
    assert signs_of_collapse(labels, np.eye(2)[[0] * 200]) == [
        "class 0 is the answer to 200 of 200 (100.0 %)",
        "accuracy 53.1 to 66.5 % is not above the majority rate 60.0 %",
        "balanced accuracy 48.4 to 52.3 % is not above a constant's 50.0 %",
        "Matthews' correlation -0.14 to 0.14 is not above 0",
    ]


def test_a_perfect_model_has_none():
    assert signs_of_collapse(LABELS, logits(0)) == []


@pytest.mark.parametrize(("others", "constant"), [(10, False), (9, True)])
def test_one_answer_to_over_ninety_five_in_a_hundred_is_a_sign(others, constant):
    labels = np.array([0] * 10 + [1] * 190)
    signs = signs_of_collapse(labels, np.eye(2)[np.array([1] * (200 - others) + [0] * others)])
    assert [sign for sign in signs if sign.startswith("class")] == (
        ["class 1 is the answer to 191 of 200 (95.5 %)"] if constant else []
    )


def test_a_good_model_of_a_rare_disease_has_none_but_that_of_the_majority_rate():
    labels = np.array([0] * 12 + [1] * 588)
    assert signs_of_collapse(labels, np.eye(2)[labels]) == []
    half = np.array([0] * 6 + [1] * 594)
    assert serious(signs_of_collapse(labels, np.eye(2)[half])) == []


def test_the_majority_rate_is_no_serious_sign():
    signs = ["class 0 is ...", "accuracy 50 ...", "balanced accuracy ...", "Matthews' ..."]
    assert serious(signs) == [signs[0], *signs[2:]]


def test_counts_of_a_table_are_compared_with_the_majority_rate():
    low = 0.5 - 1.959964 / (1 + 1.959964**2 / 200) * (0.25 / 200 + (1.959964 / 400) ** 2) ** 0.5  # Wilson
    assert collapse_of_counts(100, 200, low + 1e-6)
    assert not collapse_of_counts(100, 200, low - 1e-6)


# -- Few images, clean answers, answers under attack -----------------------------------------------------------------

FEW = np.array([0, 1] * 14, np.int32)


def test_images_are_counted_with_their_classes():
    found = behaviour.enough_images(search(classes=4))
    assert told(found, PASSED) == (
        "200 images of 4 classes",
        "There are enough images to tell the model from a constant classifier.",
    )
    assert found.details == {"n": 200, "classes": 4}
    few = behaviour.enough_images(search(labels=FEW))
    assert told(few, FAILED) == (
        too_few(FEW),
        "So few images, or images of one class, allow no conclusion about the model.",
    )
    assert few.details == {"n": 28, "classes": 2}
    assert few.rule == found.rule == "at least 30 images, 5 each of two classes"


def test_a_model_that_always_says_the_same_is_degenerate():
    found = behaviour.collapse_clean(search(clean=np.eye(2)[[0] * 200]))
    figure, sentence = told(found, FAILED, Weight.DEGENERATE)
    signs = serious(signs_of_collapse(LABELS, np.eye(2)[[0] * 200]))
    assert len(signs) == 3
    assert (figure, found.details) == ("; ".join(signs), {"signs": signs, "shown": True})
    assert sentence == (
        "On these images the model cannot be told from a constant classifier: that no attack changes its predictions "
        "is no robustness."
    )
    good = behaviour.collapse_clean(search(clean=logits(20)))
    assert told(good, PASSED, Weight.DEGENERATE) == (
        "no sign of it",
        "The model discriminates between the classes.",
    )
    assert good.details == {"signs": []}


def test_few_images_show_no_collapse():
    labels = np.array([0, 1] * 20, np.int32)
    right = np.arange(40) % 20 < 12  # 60 %: the interval of balanced accuracy contains one half
    found = behaviour.collapse_clean(
        search(labels=labels, clean=np.eye(2)[np.where(right, labels, 1 - labels)])
    )
    assert found.outcome is FAILED
    assert found.details["shown"] is False
    wrong = behaviour.collapse_clean(search(labels=labels, clean=np.eye(2)[1 - labels]))
    assert wrong.details["shown"] is True


def test_a_good_model_of_a_rare_disease_may_stay_under_the_majority_rate():
    labels = np.array([0] * 180 + [1] * 20, np.int32)
    said = np.array([1] * 20 + [0] * 160 + [1] * 20)
    made = search(labels=labels, clean=np.eye(2)[said])
    assert any(sign.startswith("accuracy") for sign in signs_of_collapse(labels, np.eye(2)[said]))
    assert behaviour.collapse_clean(made).outcome is PASSED
    # Its accuracy was not above the majority rate as it is: that it is not under attack is not the attack's doing.
    made.worst_logits, made.standing = np.eye(2)[said], said == labels
    assert behaviour.collapse_attacked(made).outcome is PASSED
    made.cache.clean = np.eye(2)[labels]
    assert behaviour.collapse_attacked(made).outcome is PASSED, "it keeps 89 % of its lead"
    half = np.array([1] * 90 + [0] * 90 + [1] * 20)
    made.worst_logits, made.standing = np.eye(2)[half], half == labels
    found = behaviour.collapse_attacked(made)
    figure, _ = told(found, FAILED, Weight.NOT_ROBUST)
    assert figure.startswith("accuracy")


def test_an_attack_that_costs_little_is_not_blamed_for_the_majority_rate():
    """1,341 of 2,005 images are of one class; 1,395 are right, and 15 less under attack."""
    labels = np.array([0] * 1341 + [1] * 664, np.int32)
    clean = np.array([0] * 1200 + [1] * 141 + [1] * 195 + [0] * 469)
    attacked = np.where(np.arange(2005) < 15, 1, clean)
    made = search(labels=labels, clean=np.eye(2)[clean])
    made.cache.right = clean == labels
    made.standing, made.worst_logits = attacked == labels, np.eye(2)[attacked]
    assert signs_of_collapse(labels, np.eye(2)[clean]) == []
    assert any(sign.startswith("accuracy") for sign in signs_of_collapse(labels, np.eye(2)[attacked]))
    assert behaviour.collapse_attacked(made).outcome is PASSED
    half = np.where(np.arange(2005) < 150, 1, clean)
    made.standing, made.worst_logits = half == labels, np.eye(2)[half]
    assert behaviour.collapse_attacked(made).outcome is FAILED


def test_what_is_left_under_attack_may_be_worth_no_more_than_a_constant():
    found = behaviour.collapse_attacked(
        search(clean=logits(0), worst_logits=logits(100), standing=np.arange(200) >= 100)
    )
    figure, sentence = told(found, FAILED, Weight.NOT_ROBUST)
    signs = signs_of_collapse(LABELS, logits(100))
    assert signs
    assert (figure, found.details) == ("; ".join(signs), {"signs": signs})
    assert sentence == "Under attack the model cannot be told from a constant classifier."
    still = behaviour.collapse_attacked(
        search(clean=logits(0), worst_logits=logits(40), standing=np.arange(200) >= 40)
    )
    assert told(still, PASSED, Weight.NOT_ROBUST) == (
        "no sign of it",
        "Under attack the model is better than a constant classifier.",
    )
    assert still.details == {"signs": []}


# -- The lead --------------------------------------------------------------------------------------------------------


def test_a_lead_is_the_mean_of_the_classes_recalls_over_that_of_a_constant():
    """Three classes of 100, 50 and 50: 90, 40 and 45 right; 9, 8 and 0 of them lost."""
    labels = np.repeat([0, 1, 2], [100, 50, 50])
    place = np.concatenate([np.arange(100), np.arange(50), np.arange(50)])
    right = place < np.array([90, 40, 45])[labels]
    standing = place < np.array([81, 32, 45])[labels]
    lead = Lead.of(labels, right, standing)
    clean, lost = (0.9 + 0.8 + 0.9) / 3, (0.09 + 0.16 + 0) / 3
    assert lead.clean == pytest.approx(clean)
    assert lead.attacked == pytest.approx(clean - lost)
    assert lead.kept == pytest.approx(1 - lost / (clean - 1 / 3))
    # MOVER-R as Donner and Zou print it, over MOVER's limits of the two means.
    l1, u1 = mean_of_proportions([9, 8, 0], [100, 50, 50])
    l2, u2 = (limit - 1 / 3 for limit in mean_of_proportions([90, 40, 45], [100, 50, 50]))
    product = lost * (clean - 1 / 3)
    a, b = lost, clean - 1 / 3
    least = (product - np.sqrt(product**2 - l1 * u2 * (2 * a - l1) * (2 * b - u2))) / (u2 * (2 * b - u2))
    most = (product + np.sqrt(product**2 - u1 * l2 * (2 * a - u1) * (2 * b - l2))) / (l2 * (2 * b - l2))
    assert lead.interval == pytest.approx((1 - most, 1 - least))
    assert lead.interval[0] < lead.kept < lead.interval[1]


def test_what_stands_without_being_right_is_no_lead():
    every = np.ones(200, bool)
    assert Lead.of(LABELS, LABELS == 0, every).kept == 0.0
    assert Lead.of(LABELS, every, every).kept == 1.0


def test_without_a_sure_lead_there_is_no_interval():
    right = np.arange(200) < 108
    lead = Lead.of(LABELS, right, np.arange(200) < 104)
    assert lead.interval == (0.0, 1.0)
    assert lead.kept == pytest.approx(0.5)
    worse = Lead.of(LABELS, np.arange(200) < 90, np.arange(200) < 80)
    assert (worse.clean, worse.attacked, worse.kept) == (0.45, pytest.approx(0.4), 0.0)


def test_a_ratios_limits_are_none_below_zero():
    assert _ratio(0.0, (0.0, 0.1), 0.4, (0.3, 0.5))[0] == 0.0
    assert _ratio(0.1, (0.05, 0.2), 0.1, (0.05, 0.3))[0] == 0.0, "what is divided by may be 0"
    # An interval without a width is the number itself.
    assert _ratio(0.1, (0.1, 0.1), 0.4, (0.4, 0.4)) == pytest.approx((0.25, 0.25))


def lead_left(right: int, standing: int, n=200):
    made = search(n, right=right, standing=np.arange(n) < standing)
    return behaviour.keeps_its_lead(made)


def test_how_much_of_a_lead_an_attacker_takes_is_said_with_its_interval():
    kept = lead_left(190, 186)
    figure, sentence = told(kept, PASSED, Weight.NOT_ROBUST)
    low, high = kept.details["interval"]
    assert (low, high) == Lead.of(LABELS, np.arange(200) < 190, np.arange(200) < 186).interval
    assert figure == (
        f"95.6 % ({100 * low:.1f} to {100 * high:.1f} %) of the lead over a constant classifier is kept: balanced "
        "accuracy 93.0 % of 95.0 %"
    )
    assert sentence == "Attacks within the threat model cost 4 % of its lead over the constant classifier."
    numbers = {key: kept.details[key] for key in ("kept", "clean", "attacked", "n")}
    assert numbers == pytest.approx({"kept": 1 - 0.02 / 0.45, "clean": 0.95, "attacked": 0.93, "n": 200})
    figure, sentence = told(lead_left(190, 120), FAILED, Weight.NOT_ROBUST)
    assert sentence == "Attacks within the threat model cost 78 % of its lead over the constant classifier."
    unsure = lead_left(190, 165)
    _, sentence = told(unsure, FAILED, Weight.NOT_PROVEN)
    assert unsure.details["interval"][0] < 2 / 3 < unsure.details["interval"][1]
    assert sentence == (
        "200 images are too few to tell whether attacks within the threat model cost more than a third of its "
        "lead over the constant classifier."
    )
    assert (unsure.record().called, lead_left(190, 120).record().called) == ("too few images", "broken")
    assert "--images 0" in unsure.record().next


# -- Models to compare with ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stands", "theirs", "failed"),
    [(100, 100, True), (104, 100, True), (105, 100, False), (90, 100, True)],
)
def test_a_defence_stands_more_than_its_control(stands, theirs, failed):
    twin = object()
    made = search(
        pgd=result(200 - stands),
        control=("twin", twin),
        runs={("control twin", "pgd(steps=20)"): result(200 - theirs)},
    )
    found = comparison.control(made)
    figure, sentence = told(found, outcome(failed))
    assert figure == (
        f"{stands} of 200 ({stands / 2:.1f} %) robust to PGD, the control: {theirs} of 200 ({theirs / 2:.1f} %)"
    )
    assert sentence == (
        "The same model without the defence is as robust: the defence has no effect."
        if failed
        else "The model is more robust with the defence than without it."
    )
    only = (max(0, stands - theirs), max(0, theirs - stands))
    assert found.details == {"only here": only[0], "only there": only[1], "n": 200}
    assert made.asked == [("pgd(steps=20)", None, twin, "control twin", {})]


def test_what_stands_there_alone_counts_against_the_defence():
    runs = {("control twin", "pgd(steps=20)"): result([*range(95), 199, 198])}
    found = comparison.control(search(pgd=result(90), control=("twin", object()), runs=runs))
    assert found.details == {"only here": 7, "only there": 0, "n": 200}
    runs = {("control twin", "pgd(steps=20)"): result([*range(5, 95), 199, 198])}
    found = comparison.control(search(pgd=result(90), control=("twin", object()), runs=runs))
    assert found.details == {"only here": 7, "only there": 5, "n": 200}
    assert found.failed


def test_a_control_is_compared_where_there_is_one_with_gradients_on_both_sides():
    sentence = "No undefended control was given: the effect of the defence cannot be measured."
    assert told(comparison.control(search()), NOT_APPLICABLE) == ("-", sentence)
    blind = comparison.control(search(differentiable=False, control=("twin", object())))
    sentence = "The model has no gradient, but its control has: the same attack cannot be run on both."
    assert told(blind, NOT_APPLICABLE) == ("-", sentence)
    assert blind.details == comparison.control(search()).details == {}


INT8 = "file small.tflite"


def twin(float_square=10, square=10, through=30, transfer=20, rays=5, effort="standard"):
    """Return the finding about an int8 file under four attacks; PGD breaks 30 of the float model's 200 images."""
    queries = {"standard": 300, "quick": 150, "full": 300}[effort]
    edge, target = white_box(), white_box()
    made = search(
        effort=effort,
        target=target,
        edge=("small.tflite", edge),
        pgd=result(30),
        runs={
            (INT8, str(Transfer(surrogate=target))): result(transfer),
            (f"{INT8}, straight through", "pgd(steps=20)"): result(through),
            (INT8, f"square(queries={queries})"): result(square),
            (INT8, f"rays(queries={queries})"): result(rays),
            ("", f"square(queries={queries})"): result(float_square),
        },
    )
    return comparison.int8_twin(made), made, edge


@pytest.mark.parametrize(
    ("float_square", "square", "through", "failed"),
    [
        (10, 10, 30, False),
        (14, 10, 30, False),
        (15, 10, 30, False),
        (10, 10, 26, False),
        (10, 10, 25, True),
        (0, 40, 60, False),
    ],
)
def test_rounding_adds_no_robustness_beyond_two_points(float_square, square, through, failed):
    found, _, _ = twin(float_square, square, through)
    _, sentence = told(found, outcome(failed), Weight.REPORT)
    assert sentence == (
        "Rounding masks the gradient of the exported file: its robustness is at most the float model's."
        if failed
        else "The exported file is about as robust as the model it came from."
    )
    assert found.details == {
        "right": {
            "float transfer": 180,
            "straight-through PGD": 200 - through,
            "Square": 200 - square,
            "RayS": 195,
        },
        "float": {"straight-through PGD": 170, "Square": 200 - float_square},
        "n": 200,
    }


@pytest.mark.parametrize("effort", ["quick", "standard", "full"])
def test_an_exported_file_is_attacked_in_four_ways(effort):
    found, made, edge = twin(effort=effort)
    assert found.figure == (
        "170 of 200 (85.0 %) right under the worst of float transfer, straight-through PGD, Square, RayS"
    )
    targets = [target for _, _, target, _, _ in made.asked]
    assert targets[0] is targets[2] is targets[3] is edge
    assert isinstance(targets[1], StraightThrough)
    assert targets[4] is None
    through = targets[1]
    assert {id(value) for value in vars(through).values()} >= {id(edge), id(made.cache.audited.target)}


def test_decisions_alone_may_be_the_worst_attack_on_a_file():
    found, _, _ = twin(rays=90)
    assert found.figure.startswith("110 of 200 (55.0 %) right under the worst of")


def test_an_exported_file_is_compared_where_there_is_one_and_a_gradient():
    assert told(comparison.int8_twin(search()), NOT_APPLICABLE, Weight.REPORT) == (
        "-",
        "No exported file was given.",
    )
    blind = comparison.int8_twin(search(differentiable=False, edge=("small.tflite", white_box())))
    assert told(blind, NOT_APPLICABLE, Weight.REPORT) == (
        "-",
        "The model has no gradient with which its exported file could be attacked.",
    )
    assert blind.details == {}


# -- Attacks and images that were used -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trained_on", "figure", "unseen"),
    [
        ((), "3 of 3 attacks; trained on: none known", ["fgsm", "pgd(steps=20)", "square"]),
        (("fgsm",), "2 of 3 attacks; trained on: fgsm", ["pgd(steps=20)", "square"]),
        (("pgd", "fgsm"), "1 of 3 attacks; trained on: pgd, fgsm", ["square"]),
        (("pgd", "fgsm", "square"), "0 of 3 attacks; trained on: pgd, fgsm, square", []),
    ],
)
def test_at_least_one_attack_was_not_used_in_training(trained_on, figure, unseen):
    attacks = [result(5, name=name) for name in ("fgsm", "pgd(steps=20)", "square")]
    attacks.append(result([], rows=[], name="noise"))
    made = search(trained_on=trained_on, attacks=attacks)
    found = protocol.unseen_attack(made)
    assert told(found, outcome(not unseen)) == (
        figure,
        "The model was attacked by attacks that its training did not use."
        if unseen
        else "The model was attacked only by the attack of its training.",
    )
    assert found.details == {"unseen": unseen, "n": 200}


@pytest.mark.parametrize(
    ("epsilon", "failed", "sentence"),
    [
        (
            2 / 255,
            False,
            "5.0 points of the attack's effect need values between grey levels, which no image file holds.",
        ),
        (
            1 / 255,
            False,
            "5.0 points of the attack's effect need values between grey levels, which no image file holds.",
        ),
        (0.5 / 255, True, "Epsilon is 0.50 grey levels: no 8-bit image can carry it."),
    ],
)
def test_an_epsilon_of_less_than_a_grey_level_fits_into_no_file(epsilon, failed, sentence):
    made = search(pgd=result(50), eight_bit=lambda: result(40), plan=Plan(epsilon=epsilon))
    found = protocol.realisable(made)
    assert told(found, outcome(failed), Weight.REPORT) == (
        "150 of 200 (75.0 %) right with floats, 160 of 200 (80.0 %) with 8-bit images",
        sentence,
    )
    assert found.details == {"floats": 50, "8-bit": 40, "n": 200}
    assert found.rule == (
        "reported: the accuracy under PGD with floats and with 8-bit images; epsilon is at least one grey level"
    )


def test_a_short_change_in_l2_fits_into_a_file():
    plan = Plan(epsilon=0.001, threat=Threat(norm="l2"))
    assert not protocol.realisable(search(pgd=result(5), eight_bit=lambda: result(5), plan=plan)).failed


@pytest.mark.parametrize(
    ("threat", "differentiable", "sentence"),
    [
        (
            Threat(space="prepared"),
            True,
            "The perturbation is applied after resizing and conversion to colour: no image file can hold it.",
        ),
        (Threat(bits=8), True, "The attack is on 8-bit images already, or there is no gradient."),
        (Threat(), False, "The attack is on 8-bit images already, or there is no gradient."),
    ],
)
def test_where_nothing_is_rounded_nothing_is_compared(threat, differentiable, sentence):
    made = search(plan=Plan(epsilon=EPSILON, threat=threat), differentiable=differentiable)
    found = protocol.realisable(made)
    assert told(found, NOT_APPLICABLE, Weight.REPORT) == ("-", sentence)
    assert found.details == {}
    assert found.rule == "reported: the accuracy under PGD with floats and with 8-bit images"


OWN = "The data have no official test set."
WHOLE = "The images are the official test set."
PART = "Part of the test set was used: the figures cannot be compared with those of all of it."
SEEN = "These images may have been used in training or model selection."


@pytest.mark.parametrize(
    ("data", "failed", "figure", "sentence"),
    [
        ({}, False, "200 images of own data, test split of 200", OWN),
        ({"official": None, "split": "test"}, False, "200 images of own data, test split of 200", OWN),
        ({"official": None, "of": 640}, True, "200 images of own data, test split of 640", PART),
        (
            {"name": "set", "official": 200},
            False,
            "200 images of set, test split; the official test set has 200",
            WHOLE,
        ),
        (
            {"name": "set", "official": 201},
            True,
            "200 images of set, test split; the official test set has 201",
            PART,
        ),
        (
            {"name": "set", "official": 200, "split": "validation"},
            True,
            "200 images of set, validation split; the official test set has 200",
            SEEN,
        ),
        ({"split": "train"}, True, "200 images of own data, train split of 200", SEEN),
    ],
)
def test_the_images_are_the_whole_official_test_set(data, failed, figure, sentence):
    found = protocol.split_and_n(search(data=data))
    assert told(found, outcome(failed)) == (figure, sentence)
    assert found.details == {"n": 200, "official": data.get("official")}


@pytest.mark.parametrize(
    ("history", "figure", "failed"),
    [
        ((0.5, 0.6), "largest fall 0.0 points over 2 rounds", False),
        ((0.5, 0.6, 0.4375), "largest fall 16.2 points over 3 rounds", False),
        ((0.75, 0.5, 0.7), "largest fall 25.0 points over 3 rounds", True),
    ],
)
def test_robustness_does_not_break_down_in_training(history, figure, failed):
    found = protocol.catastrophic_overfitting(search(history=history))
    assert told(found, outcome(failed)) == (
        figure,
        "Robustness against iterated attacks collapsed during training, although the loss went on falling."
        if failed
        else "Robustness against iterated attacks did not collapse during training.",
    )
    assert found.details == {"history": list(history)}


def test_a_constant_classifier_that_begins_to_learn_has_not_collapsed():
    """Of 78 images 57 are of one class: the accuracy under attack falls, and the balanced accuracy rises."""
    learning = protocol.catastrophic_overfitting(
        search(history=(57 / 78, 0.455, 0.462), balanced_history=(0.5, 0.51, 0.53))
    )
    assert learning.outcome == outcome(False)
    collapsed = protocol.catastrophic_overfitting(
        search(history=(0.7, 0.4, 0.1), balanced_history=(0.65, 0.4, 0.1))
    )
    assert collapsed.outcome == outcome(True)
    assert collapsed.figure == "largest fall 30.0 points over 3 rounds"


@pytest.mark.parametrize("history", [(), (0.5,)])
def test_a_training_that_was_not_watched_tells_nothing(history):
    found = protocol.catastrophic_overfitting(search(history=history))
    sentence = "Robustness was not monitored during training, or the training was not adversarial."
    assert told(found, NOT_APPLICABLE) == ("-", sentence)
    assert found.details == {}


@pytest.mark.parametrize(
    ("single", "many", "failed"),
    [
        (60, 160, True),  # of 200: 140 left, then 40
        (60, 130, False),  # 140 left, then 70: half of it
        (150, 189, False),  # 50 left, then 11: 19.5 points less
        (150, 191, True),  # 50 left, then 9: 20.5 points less
    ],
)
@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
def test_a_model_that_withstands_a_single_step_alone_is_told(attack, single, many, failed):
    made = search(trained_on=(attack,), single_step=result(single), pgd=result(many))
    found = protocol.catastrophic_overfitting(made)
    assert found.outcome == outcome(failed)
    assert found.details == {"single": 200 - single, "many": 200 - many, "n": 200}
    assert (
        protocol.catastrophic_overfitting(
            search(trained_on=(), single_step=result(single), pgd=result(many))
        ).outcome
        == NOT_APPLICABLE
    )
    watched = search(trained_on=("fgsm",), history=(0.5, 0.6), single_step=result(single), pgd=result(many))
    told_of = protocol.catastrophic_overfitting(watched)
    assert told_of.outcome == outcome(failed), "also where no round fell: it may never have been robust"
    assert told_of.details == (found.details if failed else {"history": [0.5, 0.6]})


# -- What all of them say --------------------------------------------------------------------------------------------

ABOUT = {
    "enough_images": ("too few images", "at least 30 images, 5 each of two classes", "this project"),
    "collapse_clean": (
        "collapsed classifier: clean images",
        "no class is over 95 % of the predictions with at most 5 % recall of all others; the intervals of balanced "
        "accuracy and Matthews' correlation lie above those of a constant classifier",
        "this project",
    ),
    "collapse_attacked": (
        "collapsed classifier: under attack",
        "under the worst case of all attacks: no class is over 95 % of the predictions with at most 5 % recall of all "
        "others; the intervals of accuracy (where the clean one does, and two thirds of the lead are not kept), "
        "balanced accuracy and Matthews' correlation lie "
        "above those of a constant classifier",
        "this project",
    ),
    "keeps_its_lead": (
        "robust accuracy: lead over the constant classifier lost",
        "under the worst case of all attacks at least two thirds of the lead in balanced accuracy over a constant "
        "classifier is left: all of the 95 % interval for robust, none of it for not robust",
        "this project",
    ),
    "control": (
        "control: no better than the undefended model",
        "more images are robust than with the same architecture without the defence, under the same attack "
        "(McNemar, 5 %)",
        "Carlini et al. (2019), arXiv:1902.06705",
    ),
    "unseen_attack": (
        "unseen attack: only the training attack was made",
        "at least one attack was not used in training",
        "Carlini et al. (2019), arXiv:1902.06705",
    ),
    "realisable": ("not realisable: 8-bit images break less", None, "this project"),
    "split_and_n": (
        "selected test data: not the whole official split",
        "images of the test split, all of them",
        "this project; Yang et al. (2023), MedMNIST v2",
    ),
    "catastrophic_overfitting": (
        "catastrophic overfitting: single step survives, iterations do not",
        "accuracy under PGD-5, or balanced accuracy, falls by at most 20 points from one round to the next, where "
        "that was watched; of a "
        "model trained on FGSM or PGD, PGD leaves at least half of what FGSM leaves, or at most 20 points less",
        "Wong et al. (2020), arXiv:2001.03994",
    ),
    "int8_twin": (
        "gradient masking: int8 file beats its float model",
        "under straight-through PGD the int8 file is at most 2 points more robust than the float model",
        "Bernhard et al. (2019), arXiv:1909.12741",
    ),
}


@pytest.mark.parametrize("check", ABOUT)
def test_a_check_has_its_name_rule_and_source_whatever_comes_of_it(check):
    parts = {
        "pgd": result(20),
        "eight_bit": lambda: result(20),
        "standing": LABELS == 0,
        "worst_logits": logits(60),
        "attacks": [],
        "runs": {("control twin", "pgd(steps=20)"): result(40)},
    }
    made = [search(**parts), search(**parts, control=("twin", object()), history=(0.5, 0.4))]
    made.append(search(**parts, differentiable=False, control=("twin", object()), edge=("small", None)))
    made.append(search(**parts, labels=FEW))
    found = [named(check)(one) for one in made]
    if check == "int8_twin":
        found.append(twin()[0])
    name, rule, source = ABOUT[check]
    for one in found:
        assert (one.check, one.source) == (name, source)
        assert rule is None or one.rule == rule


@pytest.mark.parametrize(
    ("check", "weight"),
    [
        ("collapse_clean", Weight.DEGENERATE),
        ("collapse_attacked", Weight.NOT_ROBUST),
        ("keeps_its_lead", Weight.NOT_ROBUST),
    ],
)
def test_too_few_images_conclude_nothing(check, weight):
    found = named(check)(search(labels=FEW))
    assert told(found, NOT_APPLICABLE, weight) == ("-", "There are too few images for a conclusion.")
    assert found.details == {}
