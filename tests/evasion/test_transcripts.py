"""Every image that an attack asks about, beside its paper's algorithm written out for a single image.

The algorithms are generators: they yield the next image, and are sent that image as the attack asked about it. Random
numbers are the attack's own (`fedrobust.evasion.rng`); everything else is written without batches, dropped images or
bookkeeping.
"""

import math
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from fedrobust.evasion import Threat, attack
from fedrobust.evasion.attacks.query.directions import random_directions
from fedrobust.evasion.attacks.query.radial_probes import PATTERNS
from fedrobust.evasion.attacks.query.rays import boxes
from fedrobust.evasion.attacks.query.square import _square
from fedrobust.evasion.models.protocol import Slopes
from fedrobust.evasion.rng import apart, integers, keys_of, normal, uniform

SHAPE = (7, 6, 2)
CLASSES = 4
SEED = 5


class Seen(NamedTuple):
    """What a model says of one image: logits, the loss asked for and its gradient, and whether it errs."""

    logits: np.ndarray
    loss: float
    slope: np.ndarray
    margin: float

    @property
    def wrong(self) -> bool:
        return self.margin > 0


class Waves:
    """Logits from sines of linear scores: curved everywhere, with gradients by formula. What it is asked is kept.

    `lead` is added to the logit of class 0: a large one, and no image is ever broken.
    """

    shape, classes = SHAPE, CLASSES

    def __init__(self, lead=0.0, bend=3.0):
        draw = np.random.default_rng(2)
        size = math.prod(SHAPE)
        self.first = draw.normal(size=(size, 12)) * bend / np.sqrt(size)
        self.second = draw.normal(size=(12, CLASSES))
        self.straight = draw.normal(size=(size, CLASSES)) / np.sqrt(size)
        self.lead = np.array([lead, 0, 0, 0])
        self.asked = []

    def answer(self, image):
        row = image.reshape(-1).astype(np.float64) - 0.5
        return np.sin(row @ self.first) @ self.second + row @ self.straight + self.lead

    def seen(self, image, loss="margin", target=None) -> Seen:
        """Return what is said of an image of class 0."""
        logits = self.answer(image)
        other = 1 + int(logits[1:].argmax())
        along = np.zeros(CLASSES)
        if loss == "logit":
            along[target], value = 1, logits[target]
        elif loss == "targeted-cross-entropy":
            others = np.delete(logits, target)
            top = others.max()
            value = logits[target] - top - np.log(np.exp(others - top).sum())
            share = np.exp(logits - top) / np.exp(others - top).sum()
            along = -share
            along[target] = 1
        else:
            aim = other if loss == "margin" else target
            along[aim], along[0], value = 1, -1, logits[aim] - logits[0]
        row = image.reshape(-1).astype(np.float64) - 0.5
        slope = self.first @ (np.cos(row @ self.first) * (self.second @ along)) + self.straight @ along
        return Seen(logits, value, slope.reshape(SHAPE), float(logits[other] - logits[0]))

    def logits(self, images):
        self.asked += [("logits", image) for image in images]
        return np.stack([self.answer(image) for image in images])

    def gradient(self, images, labels, loss, targets=None):
        self.asked += [("gradient", image) for image in images]
        aims = [None] * len(images) if targets is None else targets
        parts = [self.seen(image, loss, aim) for image, aim in zip(images, aims, strict=True)]
        logits, losses, slopes, _ = zip(*parts, strict=True)
        return Slopes(np.stack(logits), np.array(losses), np.stack(slopes).astype(np.float32))


CLEAN = (0.25 + 0.5 * np.random.default_rng(3).random(SHAPE)).astype(np.float32)
KEYS = keys_of(SEED, np.array([9]))


def inside(threat, epsilon):
    """Return the projection of one image into the threat."""
    return lambda image: threat.project(np.asarray(image, np.float32)[None], CLEAN[None], epsilon)[0]


def steepest(threat, slope):
    """Return the step of size one along a slope."""
    return np.sign(slope) if threat.norm == "linf" else slope / np.linalg.norm(slope)


def distance(threat, image):
    change = np.abs(image.astype(np.float64) - CLEAN)
    return change.max() if threat.norm == "linf" else np.linalg.norm(change)


def follow(model, spec, threat, epsilon, walk, atol=2e-5):
    """Check that an attack asks about what `walk` yields, one image after another, and return how many there were.

    Each of the walk's images is answered by what the attack itself asked about, so that errors of rounding do not grow.
    """
    attack(model, CLEAN[None], np.zeros(1, np.int32), spec, threat, [epsilon], SEED, places=np.array([9]))
    asked, model.asked = model.asked, []
    wanted = next(walk)
    for number, (_, image) in enumerate(asked):
        np.testing.assert_allclose(image, wanted, atol=atol, err_msg=f"image {number} of {len(asked)}")
        try:
            wanted = walk.send(image)
        except StopIteration:
            assert number == len(asked) - 1, "the attack goes on where the algorithm has ended"
            return len(asked)
    raise AssertionError(f"the attack ended after {len(asked)} images, the algorithm goes on")


LINF, L2 = Threat(), Threat(norm="l2")
THREATS = [(LINF, 0.15), (L2, 1.2)]


def ball(threat, epsilon, keys, counter=0):
    """Return a random point of the threat."""
    if threat.norm == "linf":
        change = epsilon * (2 * uniform(keys, counter, SHAPE)[0] - 1)
    else:
        change = normal(keys, counter, SHAPE)[0]
        radius = uniform(keys, counter + 1, (1,))[0, 0] ** (1 / math.prod(SHAPE))
        change = change * (epsilon * radius / np.linalg.norm(change))
    return inside(threat, epsilon)(CLEAN + change)


# -- Along the gradient ----------------------------------------------------------------------------------------------


def projected_ascent(model, threat, epsilon, sizes, start, decay=0.0, asked_clean=True):
    """Madry et al. (2017): steps along the slope, each projected; with the momentum of Dong et al. (2017)."""
    into = inside(threat, epsilon)
    if asked_clean:
        yield CLEAN
    image, speed = start, 0.0
    for size in sizes:
        slope = model.seen((yield image)).slope
        if decay:
            speed = decay * speed + slope / np.abs(slope).mean()
            slope = speed
        image = into(image + size * epsilon * steepest(threat, slope))
    yield image


@pytest.mark.parametrize(("threat", "epsilon"), THREATS)
def test_pgd_and_its_forms(threat, epsilon):
    model = Waves(lead=100)
    start = ball(threat, epsilon, apart(KEYS, 0))
    falling = [1 - step / 7 for step in range(7)]
    walk = projected_ascent(model, threat, epsilon, falling, start)
    assert follow(model, "pgd(steps=7, loss='margin')", threat, epsilon, walk) == 9
    walk = projected_ascent(model, threat, epsilon, [0.3] * 5, start)
    follow(model, "pgd(steps=5, loss='margin', step_size=0.3)", threat, epsilon, walk)
    walk = projected_ascent(model, threat, epsilon, [0.2] * 5, CLEAN, asked_clean=False)
    assert follow(model, "bim(steps=5, loss='margin')", threat, epsilon, walk) == 6
    walk = projected_ascent(model, threat, epsilon, [0.25] * 4, CLEAN, 0.7, asked_clean=False)
    follow(model, "mi-fgsm(steps=4, loss='margin', decay=0.7)", threat, epsilon, walk)


@pytest.mark.parametrize(("threat", "epsilon"), THREATS)
def test_restarts_begin_elsewhere(threat, epsilon):
    model = Waves(lead=100)

    def walk():
        yield from projected_ascent(model, threat, epsilon, [1, 0.5], ball(threat, epsilon, apart(KEYS, 0)))
        again = ball(threat, epsilon, apart(KEYS, 1))
        yield from projected_ascent(model, threat, epsilon, [1, 0.5], again, asked_clean=False)

    follow(model, "pgd(steps=2, restarts=2, loss='margin')", threat, epsilon, walk())


@pytest.mark.parametrize(("threat", "epsilon"), THREATS)
def test_one_step(threat, epsilon):
    model = Waves(lead=100)
    into = inside(threat, epsilon)

    def from_clean():
        slope = model.seen((yield CLEAN)).slope
        yield into(CLEAN + epsilon * steepest(threat, slope))

    def from_random():
        yield CLEAN
        start = ball(threat, epsilon, KEYS)
        slope = model.seen((yield start)).slope
        yield into(start + 1.25 * epsilon * steepest(threat, slope))

    follow(model, "fgsm(loss='margin')", threat, epsilon, from_clean())
    follow(model, "fgsm(loss='margin', random_start=True)", threat, epsilon, from_random())


@pytest.mark.parametrize(("threat", "epsilon"), THREATS)
@pytest.mark.parametrize("noise", ["uniform", "normal"])
def test_smoothed_pgd(threat, epsilon, noise):
    """The mean of gradients of length one, of noisy copies."""
    model = Waves(lead=100)
    into, keys = inside(threat, epsilon), apart(KEYS, 0)

    def walk():
        yield CLEAN
        image = ball(threat, epsilon, keys)
        width = 0.4 * epsilon / (1 if threat.norm == "linf" else math.sqrt(math.prod(SHAPE)))
        for step in range(3):
            mean = 0.0
            for copy in range(4):
                counter = 2 + 4 * step + copy
                draws = normal(keys, counter, SHAPE)[0]
                if noise == "uniform":
                    draws = 2 * uniform(keys, counter, SHAPE)[0] - 1
                slope = model.seen((yield into(image + width * draws))).slope
                mean = mean + slope / np.linalg.norm(slope)
            image = into(image + (1 - step / 3) * epsilon * steepest(threat, mean))
            yield image

    spec = f"smoothed-pgd(steps=3, copies=4, noise='{noise}', spread=0.4, loss='margin')"
    follow(model, spec, threat, epsilon, walk())


@pytest.mark.parametrize(
    ("target", "place"),
    [("'least-likely'", -1), ("'second'", 0), ("2", None)],
    ids=["least", "second", "two"],
)
def test_steps_towards_a_class(target, place):
    """The likeliest or least likely wrong class of the clean image, or one that is named."""
    model = Waves(lead=100)
    order = 1 + np.argsort(-model.answer(CLEAN)[1:])
    aim, loss = (2, "targeted-margin") if place is None else (int(order[place]), "difference")
    into = inside(LINF, 0.15)

    def walk():
        if place is not None:
            yield CLEAN
        image = CLEAN
        for _ in range(3):
            slope = model.seen((yield image), loss, aim).slope
            image = into(image + 0.05 * np.sign(slope))
        yield image

    follow(model, f"bim(steps=3, loss='margin', target={target})", LINF, 0.15, walk())


def auto_pgd(model, threat, epsilon, steps, start, marks, loss="margin", target=None):
    """Croce and Hein (2020), Algorithm 1."""
    into = inside(threat, epsilon)
    seen = model.seen((yield start), loss, target)
    image, before, best, size = start, start, (seen.loss, start, seen.slope), 2 * epsilon
    value, slope, rises, last, was_halved, best_then = seen.loss, seen.slope, 0, 0, False, seen.loss
    for step in range(steps):
        share = 0.75 if step else 1.0
        ahead = into(image + size * steepest(threat, slope))
        moved = into(image + share * (ahead - image) + (1 - share) * (image - before))
        moved = yield moved
        seen = model.seen(moved, loss, target)
        rises += seen.loss > value
        before, image, value, slope = image, moved, seen.loss, seen.slope
        if seen.loss > best[0]:
            best = (seen.loss, image, slope)
        if step + 1 in marks:
            halve = rises < 0.75 * (step + 1 - last) or (not was_halved and best_then >= best[0])
            if halve:
                size /= 2
                value, image, slope = best
                before = image
            was_halved, best_then, rises, last = halve, best[0], 0, step + 1


MARKS = {9, 17, 23, 28, 32, 35, 38, 40}
"""0.22, 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99 and 1 of forty steps, rounded up."""


@pytest.mark.parametrize(("threat", "epsilon"), THREATS)
@pytest.mark.parametrize("bend", [3.0, 25.0])
def test_auto_pgd(threat, epsilon, bend):
    model = Waves(lead=100, bend=bend)
    start = ball(threat, epsilon, apart(KEYS, 0))

    def walk():
        yield CLEAN
        yield from auto_pgd(model, threat, epsilon, 40, start, MARKS)

    assert follow(model, "apgd-dlr(steps=40, loss='margin')", threat, epsilon, walk()) == 42


def test_auto_pgd_towards_each_class_in_turn():
    model = Waves(lead=100)
    order = 1 + np.argsort(-model.answer(CLEAN)[1:])

    def walk():
        yield CLEAN
        for turn, aim in enumerate(order[:2]):
            start = ball(LINF, 0.15, apart(KEYS, 1000 * (turn + 1)))
            yield from auto_pgd(model, LINF, 0.15, 5, start, {2, 3, 4, 5}, "difference", int(aim))

    follow(model, "apgd-t(steps=5, targets=2, loss='margin')", LINF, 0.15, walk())


# -- By asking -------------------------------------------------------------------------------------------------------


def square_side(step, queries, share, height, width):
    halvings = sum(
        step * 10_000 / queries > mark for mark in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
    )
    return min(height, width, max(1, round(math.sqrt(share / 2**halvings * height * width))))


def squares(model, threat, epsilon, queries):
    """Andriushchenko et al. (2019), Algorithms 1 and 2."""
    height, width, channels = SHAPE
    into, keys = inside(threat, epsilon), apart(KEYS, 0)
    yield CLEAN
    image = into(CLEAN + epsilon * np.where(uniform(keys, 0, (1, width, channels))[0] < 0.5, -1, 1))
    image = yield image
    margin = model.seen(image).margin
    for step in range(queries):
        side = square_side(step, queries, 0.8, height, width)
        top, left = (
            int(place * (length - side + 1))
            for place, length in zip(uniform(keys, 3 * (step + 1), (2,))[0], (height, width), strict=True)
        )
        signs = np.where(uniform(keys, 3 * (step + 1) + 1, (1, 1, channels))[0] < 0.5, -1, 1)
        tried, window = image.copy(), np.s_[top : top + side, left : left + side]
        tried[window] = CLEAN[window] + epsilon * signs
        if np.allclose(
            into(tried), image, atol=1e-6
        ):  # the official code spends no query on what is there already
            tried[window] = CLEAN[window] - epsilon * signs
        tried = yield into(tried)
        now = model.seen(tried).margin
        if now > margin:
            image, margin = tried, now


def eta(height, width):
    """Algorithm 3's bump: rings that fall off from two centres, one of them negative, of length one."""

    def rings(height, width):
        values, depth = np.zeros((height, width)), (min(height, width) + 1) // 2
        for ring in range(depth):
            values[ring : height - ring, ring : width - ring] += 1 / (depth - ring) ** 2
        return values

    half = height // 2
    values = np.concatenate([rings(half, width), -rings(height - half, width)]) if half else rings(1, width)
    return (values / np.linalg.norm(values))[..., None]


def bumps(model, threat, epsilon, queries):
    """Andriushchenko et al. (2019), Algorithms 1 and 3: the budget of two windows moves into one."""
    height, width, channels = SHAPE
    into, keys = inside(threat, epsilon), apart(KEYS, 0)

    def signs(counter):
        return np.where(uniform(keys, counter, (1, 1, channels))[0] < 0.5, -1, 1)

    yield CLEAN
    change, side = np.zeros(SHAPE), max(1, min(height, width) // 5)
    tops, lefts = range(0, height - side + 1, side), range(0, width - side + 1, side)
    for number, (top, left) in enumerate((top, left) for top in tops for left in lefts):
        change[top : top + side, left : left + side] += eta(side, side) * signs(1_000_000 + number)
    image = yield into(CLEAN + epsilon * change / np.linalg.norm(change))
    margin = model.seen(image).margin
    for step in range(1, queries + 1):
        side = max(square_side(step - 1, queries, 0.8, height, width), 3)
        places = [
            int(integers(keys, 4 * step + number, length - side + 1)[0])
            for number, length in enumerate((height, width, height, width))
        ]
        first, second = (
            np.s_[top : top + side, left : left + side] for top, left in (places[:2], places[2:])
        )
        change = (image - CLEAN).astype(np.float64)
        either = np.zeros(SHAPE[:2], bool)
        either[first] = either[second] = True
        held = (change**2 * either[..., None]).sum(axis=(0, 1))
        unused = max(0.0, epsilon**2 - (change**2).sum()) / channels
        old = change[first] / np.maximum(np.sqrt((change[first] ** 2).sum(axis=(0, 1))), 1e-12)
        new = eta(side, side) * signs(5_000_000 + step) + old
        new = new / np.sqrt((new**2).sum(axis=(0, 1)))
        change[either] = 0
        change[first] = new * np.sqrt(held + unused)
        tried = yield into(CLEAN + change)
        now = model.seen(tried).margin
        if now > margin:
            image, margin = tried, now


def test_square_in_linf():
    model = Waves(lead=100)
    assert follow(model, "square(queries=60)", LINF, 0.15, squares(model, LINF, 0.15, 60)) == 62


def test_square_spends_no_query_on_a_square_that_is_there_already():
    """Of grey images half of the proposals would be none, where all are accepted and squares are single pixels."""
    clean = np.full((3, 6, 6, 1), 0.5, np.float32)
    keys = np.arange(3, dtype=np.uint64)
    state = SimpleNamespace(clean=clean, epsilon=0.1, threat=LINF)
    for side in (1, 3):
        images = clean + np.float32(0.1)
        for step in range(1, 20):
            proposed = _square(state, images, keys, step, side)
            assert (proposed != images).any(axis=(1, 2, 3)).all()
            np.testing.assert_allclose(np.abs(proposed - clean), 0.1, atol=1e-6)
            images = proposed


@pytest.mark.parametrize("epsilon", [1.2, 4.0])
def test_square_in_l2(epsilon):
    """The larger epsilon is clipped at black and white, and what that leaves of the budget is spent."""
    model = Waves(lead=100)
    assert follow(model, "square(queries=60)", L2, epsilon, bumps(model, L2, epsilon, 60)) == 62


def estimated_ascent(model, threat, epsilon, steps, directions, basis):
    """Uesato et al. (2018), Algorithm 1, with a running sum of estimates."""
    into = inside(threat, epsilon)
    yield CLEAN
    image, total = CLEAN, 0.0
    size = 0.5 * epsilon / (1 if threat.norm == "linf" else math.sqrt(math.prod(SHAPE)))
    for step in range(steps):
        low = basis == "dct" or (basis == "both" and step % 2 == 1)
        several = random_directions(KEYS, step << 12, (directions, *SHAPE), "dct" if low else "pixels", 0.5)[
            0
        ]
        sides = []
        for side in (1, -1):
            answers = []
            for direction in several:
                answers.append(model.seen((yield into(image + side * size * direction))).margin)
            sides.append(np.array(answers))
        slope = np.einsum("k,khwc->hwc", sides[0] - sides[1], several) * (0.25 if low else 1)
        total = 0.9 * total + slope
        image = into(image + (1 - step / steps) * epsilon * steepest(threat, total))
        yield image


@pytest.mark.parametrize(("threat", "epsilon"), THREATS)
@pytest.mark.parametrize("basis", ["pixels", "dct", "both"])
def test_spsa(threat, epsilon, basis):
    model = Waves(lead=100)
    walk = estimated_ascent(model, threat, epsilon, 4, 5, basis)
    spec = f"spsa(steps=4, directions=5, basis='{basis}', frequencies=0.5)"
    assert follow(model, spec, threat, epsilon, walk) == 1 + 4 * 11


def evolution(model, pixels, population, generations):
    """Su et al. (2017): differential evolution of places and values, r1 + 0.5 (r2 - r3)."""
    height, width, channels = SHAPE
    yield CLEAN

    def drawn(genes):
        image = CLEAN.copy()
        for row, column, *values in genes:
            image[min(int(row * height), height - 1), min(int(column * width), width - 1)] = values
        return image

    places = uniform(KEYS, 0, (population, pixels, 2))[0]
    values = 0.5 + 0.5 * normal(KEYS, 1, (population, pixels, channels))[0]
    herd = np.clip(np.concatenate([places, values], axis=2), 0, 1)
    fitness = []
    for genes in herd:
        fitness.append(model.seen((yield drawn(genes))).margin)
    for generation in range(generations):
        shifts = [
            integers(KEYS, 10 + 3 * generation + turn, population, (population,))[0] for turn in range(3)
        ]
        children = []
        for parent in range(population):
            chosen = []
            for shift in shifts:
                other = (parent + 1 + shift[parent] % (population - 1)) % population
                while other in (*chosen, parent):
                    other = (other + 1) % population
                chosen.append(other)
            one, two, three = (herd[place] for place in chosen)
            children.append(np.clip(one + 0.5 * (two - three), 0, 1))
        grown = []
        for genes in children:
            grown.append(model.seen((yield drawn(genes))).margin)
        for place in range(population):
            if grown[place] > fitness[place]:
                herd[place], fitness[place] = children[place], grown[place]


def test_one_pixel():
    model = Waves(lead=100)
    walk = evolution(model, 3, 8, 6)
    spec = "one-pixel(population=8, generations=6)"
    assert follow(model, spec, Threat(norm="l0"), 3, walk) == 1 + 8 * 7


def test_noise_is_uniform_and_at_the_corners_in_turns():
    model = Waves(lead=100)

    def walk(threat, epsilon):
        yield CLEAN
        for draw in range(5):
            keys = apart(KEYS, draw)
            if draw % 2 and threat.norm == "linf":
                signs = np.where(uniform(keys, 0, SHAPE)[0] < 0.5, -1, 1)
                yield inside(threat, epsilon)(CLEAN + epsilon * signs)
            else:
                yield ball(threat, epsilon, keys)

    for threat, epsilon in THREATS:
        follow(model, "noise(draws=5)", threat, epsilon, walk(threat, epsilon))


# -- By decisions ----------------------------------------------------------------------------------------------------


def hop_skip_jump(model, threat, epsilon, queries, directions, basis, shrink=0.3):
    """Chen et al. (2019), Algorithm 2, with estimates that are remembered."""
    into = inside(threat, np.inf)
    yield CLEAN
    yield CLEAN
    keys = apart(KEYS, 0)
    reached = [np.inf]

    def errs(image):
        """Whether an image is an adversary; the nearest of all of them ends the search within epsilon."""
        wrong = model.seen(image).wrong
        if wrong:
            reached.append(distance(threat, image))
        return wrong

    def over():
        return min(reached) <= epsilon * (1 + 1e-6)

    image = None
    for draw in range(40):
        image = np.full(SHAPE, 1.0 - draw) if draw < 2 else None
        if image is None:
            image = uniform(keys, draw, SHAPE)[0]
            if draw % 2 == 0:
                waves = random_directions(keys, draw, SHAPE, "dct", 0.25 if draw % 4 else 1.0)[0]
                image = (waves > 0).astype(np.float32)
        if errs((yield into(image))):
            break
    used = draw + 1
    bases = ["dct", "pixels"] if basis == "both" else [basis]
    estimates = [0.0 for _ in bases]
    nearest, radius, turn = image, np.inf, 0
    while True:
        low, high = 0.0, distance(threat, image)
        for _ in range(8):
            middle = (low + high) / 2
            if errs((yield threat.project(image[None].astype(np.float32), CLEAN[None], middle)[0])):
                high = middle
            else:
                low = middle
        image = threat.project(image[None].astype(np.float32), CLEAN[None], high)[0]
        if high < radius:
            nearest, radius = image, high
        used += 8
        count = min(int(directions * math.sqrt(turn + 1)), queries - used - 6 - 8 - 1)
        if over() or count < 2:
            return
        place = turn % len(bases)
        several = random_directions(keys, turn << 12, (count, *SHAPE), bases[place], 0.25)[0]
        size = shrink * radius / (1 if threat.norm == "linf" else math.sqrt(math.prod(SHAPE)))
        wrong = []
        for direction in several:
            wrong.append(errs((yield into(nearest + size * direction))))
        signs = np.where(wrong, 1.0, -1.0)
        weights = signs - (0 if abs(signs.mean()) == 1 else signs.mean())
        estimates[place] = 0.8 * estimates[place] + np.einsum("k,khwc->hwc", weights, several)
        step = steepest(threat, estimates[place])
        errs((yield into(CLEAN + epsilon * step)))
        sizes = [radius / math.sqrt(turn + 1) / 2**halving for halving in range(6)]
        tried = [np.clip(nearest + size * step, 0, 1) for size in sizes]
        fine = []
        for one in tried:
            fine.append(errs((yield one)))
        image = tried[fine.index(True)] if any(fine) else nearest
        used += count + 6 + 1
        turn += 1
        if over():
            return


@pytest.mark.parametrize(
    ("threat", "epsilon", "basis"),
    [(LINF, 0.02, "dct"), (LINF, 0.02, "both"), (L2, 0.1, "pixels"), (L2, 0.1, "dct"), (L2, 0.1, "both")],
)
def test_hop_skip_jump(threat, epsilon, basis):
    model = Waves(lead=2.0)
    walk = hop_skip_jump(model, threat, epsilon, 150, 12, basis)
    spec = f"hop-skip-jump(queries=150, directions=12, basis='{basis}')"
    assert follow(model, spec, threat, epsilon, walk) > 100


def rays(model, epsilon, queries, boxes):
    """Chen and Gu (2020), Algorithm 3, with boxes for blocks, from two directions."""
    into = inside(LINF, np.inf)
    yield CLEAN
    yield CLEAN
    reached = [np.inf]

    def errs(image):
        wrong = model.seen(image).wrong
        if wrong:
            reached.append(distance(LINF, image))
        return wrong

    ways = [np.ones(SHAPE), -np.ones(SHAPE)]
    best, radius, used, tried = 0, 1.0, 0, epsilon
    radii = []
    while tried < 1:
        radii.append(tried)
        tried *= 2
    if radii[-1] >= 0.5:
        radii.append(1.0)
    found = False
    for tried in radii:
        wrong = []
        for way in ways:
            wrong.append(errs((yield into(CLEAN + tried * way))))
        used += 2
        if any(wrong) and not found:
            best, radius, found = wrong.index(True), tried, True
    way, low, block = ways[best], radius / 2, 0
    for _ in range(queries - used):
        if min(reached) <= epsilon * (1 + 1e-6):
            return
        if radius - low > max(radius, epsilon) / 32:
            middle = (low + radius) / 2
            if errs((yield into(CLEAN + middle * way))):
                radius = middle
            else:
                low = middle
            continue
        (top, bottom), (left, right), (front, back) = boxes[block % len(boxes)]
        flipped = way.copy()
        flipped[top:bottom, left:right, front:back] *= -1
        block += 1
        if errs((yield into(CLEAN + radius * flipped))):
            way, low = flipped, 0.9 * epsilon
        else:
            low = radius


def test_rays():
    model = Waves(lead=2.0)
    walk = rays(model, 0.05, 120, boxes(SHAPE, 120).tolist())
    assert follow(model, "rays(queries=120, starts=2)", LINF, 0.05, walk) > 60


def radial(threat, epsilon, radii, octaves):
    """Eight directions in turns, at radii that fall evenly in logarithm."""
    yield CLEAN
    for probe in range(8 * radii):
        which, counter = probe % 8, 2 * probe + 1
        noise = uniform(KEYS, counter, SHAPE)[0]
        way = {
            "brighter": np.ones(SHAPE),
            "darker": -np.ones(SHAPE),
            "signs": random_directions(KEYS, counter, SHAPE)[0],
            "low-frequencies": random_directions(KEYS, counter, SHAPE, "dct")[0],
            "checkerboard": np.where(np.indices(SHAPE[:2]).sum(0) % 2, 1.0, -1.0)[..., None] * np.ones(SHAPE),
            "brighter-noise": noise,
            "darker-noise": -noise,
            "noise": 2 * noise - 1,
        }[PATTERNS[which]]
        exponent = octaves * (probe // 8 + (which + uniform(KEYS, 2 * probe, (1,))[0, 0]) / 8) / radii
        radius = epsilon / 2 ** (exponent if probe >= 8 else 0)
        length = np.abs(way).max() if threat.norm == "linf" else np.linalg.norm(way)
        yield inside(threat, epsilon)(CLEAN + radius * way / length)


@pytest.mark.parametrize(("threat", "epsilon"), THREATS)
def test_radial_probes(threat, epsilon):
    walk = radial(threat, epsilon, 3, 6)
    assert follow(Waves(lead=100), "radial-probes(radii=3, octaves=6)", threat, epsilon, walk) == 25


# -- The nearest adversary -------------------------------------------------------------------------------------------


class Best:
    """The nearest adversary among the images that were asked about."""

    def __init__(self, model, threat):
        self.model, self.threat, self.image, self.distance = model, threat, CLEAN, np.inf

    def says(self, image, loss="margin", target=None) -> Seen:
        seen = self.model.seen(image, loss, target)
        far = length_of(self.threat, image - CLEAN)
        if seen.wrong and far < self.distance:
            self.image, self.distance = image, far
        return seen

    def classes(self, count):
        """Return the likeliest wrong classes of the best image, or of the clean one."""
        return (1 + np.argsort(-self.model.answer(self.image)[1:], kind="stable"))[:count].tolist()


def length_of(threat, change):
    if threat.norm == "l0":
        return float((np.abs(change).max(axis=2) > 1e-6).sum())
    return float(np.abs(change).max() if threat.norm == "linf" else np.linalg.norm(change.astype(np.float64)))


def steepness_of(threat, slope):
    return np.abs(slope).sum() if threat.norm == "linf" else np.linalg.norm(slope)


def onto(threat, point, slope, value):
    """Return the shortest way within [0, 1] to where value + slope . way = 0, by bisection of its pace."""
    speed = np.sign(slope) if threat.norm == "linf" else slope
    speed = -np.sign(value) * speed

    def way(pace):
        return np.clip(point + pace * speed, 0, 1) - point

    low, high = 0.0, 1.0
    while abs((slope * way(high)).sum()) < abs(value) and high < 1e9:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if abs((slope * way(middle)).sum()) < abs(value) else (low, middle)
    return way(high)


def halving(best, looks=10):
    """Go back from the best adversary towards the clean image."""
    if not np.isfinite(best.distance):
        return
    adversary, inner, outer = best.image, 0.0, 1.0
    for _ in range(looks):
        middle = (inner + outer) / 2
        if best.says((yield CLEAN + np.float32(middle) * (adversary - CLEAN))).wrong:
            outer = middle
        else:
            inner = middle


def approaching(best):
    """Halve the way, project the clean image onto the boundary at the adversary three times, halve again."""
    yield from halving(best)
    for _ in range(3):
        adversary = best.image
        for aim in best.classes(5):
            seen = best.says((yield adversary), "difference", aim)
            at_clean = seen.loss + (seen.slope * (CLEAN.astype(np.float64) - adversary)).sum()
            way = onto(best.threat, CLEAN.astype(np.float64), seen.slope, at_clean)
            best.says((yield CLEAN + 1.001 * way))
    yield from halving(best)


def carlini_wagner(model, steps, searches):
    """Carlini and Wagner (2016): Adam over w, x' = (tanh w + 1) / 2."""
    best = Best(model, L2)
    best.says((yield CLEAN))
    low, high, constant = 0.0, np.inf, 1.0
    for _ in range(searches):
        w = np.arctanh(2 * np.clip(CLEAN.astype(np.float64), 1e-6, 1 - 1e-6) - 1)
        mean = square = np.zeros(SHAPE)
        won = False
        for step in range(steps):
            image = (np.tanh(w) + 1) / 2
            seen = best.says((yield image))
            won |= seen.wrong
            pull = 2 * (image - CLEAN) - constant * seen.slope * (not seen.wrong)
            slope = pull * (1 - np.tanh(w) ** 2) / 2
            mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
            rate = 0.05 * 0.005 ** (step / steps)
            unbiased = mean / (1 - 0.9 ** (step + 1)), square / (1 - 0.999 ** (step + 1))
            w = w - rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8 / math.sqrt(1 - 0.999 ** (step + 1)))
        low, high = (low, constant) if won else (constant, high)
        constant = (low + high) / 2 if np.isfinite(high) else constant * 10
    yield from approaching(best)


def test_carlini_wagner():
    model = Waves(lead=1.0)
    follow(model, "carlini-wagner(steps=12, searches=4)", L2, 10.0, carlini_wagner(model, 12, 4), 2e-4)


def minimum_norm(model, threat, steps):
    """Pintor et al. (2021), Algorithm 1."""
    best = Best(model, threat)
    best.says((yield CLEAN))
    far = length_of(threat, np.where(CLEAN < 0.5, np.float32(1), np.float32(0)) - CLEAN)
    image, epsilon = CLEAN, 1.0 if threat.norm == "l0" else np.inf
    for step in range(steps):
        falling = (1 + math.cos(math.pi * step / steps)) / 2
        change = 0.001 + 0.049 * falling
        seen = best.says((yield image))
        nearest = min(best.distance, far)
        if threat.norm == "l0":
            fewer = min(epsilon - 1, math.floor(epsilon * (1 - change)), nearest)
            more = max(epsilon + 1, math.floor(epsilon * (1 + change)))
            epsilon = max(0, fewer if seen.wrong else more)
        elif seen.wrong:
            epsilon = min(epsilon * (1 - change), nearest)
        elif np.isfinite(best.distance):
            epsilon = epsilon * (1 + change)
        else:
            epsilon = length_of(threat, image - CLEAN) + abs(seen.loss) / steepness_of(threat, seen.slope)
        epsilon = min(epsilon, far)
        length = 0.5 * (0.01 + 0.99 * falling)
        ahead = np.clip(image + length * seen.slope / np.linalg.norm(seen.slope), 0, 1)
        image = inside(threat, epsilon)(ahead)
    best.says((yield image))
    yield from taking_back(best) if threat.norm == "l0" else approaching(best)


def taking_back(best):
    """Take back the adversary's pixels, the least changed first, wherever it stays one."""
    if not np.isfinite(best.distance) or best.distance > 50:
        return
    image = best.image
    change = np.abs(image - CLEAN).max(axis=2).ravel()
    for place in [place for place in np.argsort(change, kind="stable") if change[place] > 0]:
        at = np.unravel_index(place, SHAPE[:2])
        less = image.copy()
        less[at] = CLEAN[at]
        less = yield less
        if best.says(less).wrong:
            image = less


@pytest.mark.parametrize("norm", ["linf", "l2", "l0"])
@pytest.mark.parametrize("lead", [1.0, 0.7])
def test_fast_minimum_norm(norm, lead):
    model, threat = Waves(lead=lead), Threat(norm=norm)
    walk = minimum_norm(model, threat, 25)
    follow(model, "fmn(steps=25, step_size=0.5)", threat, 80 if norm == "l0" else 8.0, walk, 1e-4)


def sigma_zero(model, steps):
    """Cina et al. (2024), Algorithm 1."""
    best = Best(model, Threat(norm="l0"))
    best.says((yield CLEAN))
    change, mean, square, threshold = np.zeros(SHAPE, np.float32), 0.0, 0.0, 0.3
    for step in range(steps):
        seen = best.says((yield CLEAN + change))
        squared = (change.astype(np.float64) ** 2).sum(axis=2, keepdims=True)
        count = 2 * change * 1e-3 / (squared + 1e-3) ** 2 / math.prod(SHAPE[:2])
        slope = count - (0 if seen.wrong else seen.slope)
        slope = slope / max(np.abs(slope).max(), 1e-12)
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        falling = 0.1 + 0.9 * (1 + math.cos(math.pi * max(step - 1, 0) / steps)) / 2
        rate = 0.8 * falling * math.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        moved = np.clip(CLEAN + change - rate * mean / (np.sqrt(square) + 1e-8), 0, 1)
        change = (moved - CLEAN).astype(np.float32)
        threshold = min(1, max(0, threshold + (1 if seen.wrong else -1) * 0.01 * 0.8 * falling))
        change = np.where(np.abs(change).max(axis=2, keepdims=True) >= threshold, change, np.float32(0))
    best.says((yield CLEAN + change))
    yield from taking_back(best)


def test_sigma_zero():
    model = Waves(lead=1.0)
    follow(model, "sigma-zero(steps=30, step_size=0.8)", Threat(norm="l0"), 40, sigma_zero(model, 30), 1e-4)


def nearest_boundary(best, image, aims):
    """Ask about an image once for each class, and return the value and slope of the nearest boundary."""
    found = []
    for aim in aims:
        seen = best.says((yield image.astype(np.float32)), "difference", aim)
        found.append((abs(seen.loss) / steepness_of(best.threat, seen.slope), seen.loss, seen.slope))
    return min(found, key=lambda one: one[0])[1:]


def deepfool(model, threat, steps, candidates):
    """Moosavi-Dezfooli et al. (2015), Algorithm 2, within [0, 1]."""
    best = Best(model, threat)
    best.says((yield CLEAN))
    aims, clean, change = best.classes(candidates), CLEAN.astype(np.float64), np.zeros(SHAPE)
    for _ in range(steps):
        reached = np.clip(clean + 1.02 * change, 0, 1)
        value, slope = yield from nearest_boundary(best, reached, aims)
        least = 0.02 * length_of(threat, change) + 1e-6 * length_of(threat, np.ones(SHAPE))
        rise = max(-value, least * steepness_of(threat, slope))
        change = np.clip(clean + change + onto(threat, reached, slope, -rise), 0, 1) - clean
        best.says((yield np.clip(clean + 1.02 * change, 0, 1)))
        if np.isfinite(best.distance):
            break
    yield from approaching(best)


def boundary_walk(best, steps, aims):
    """Croce and Hein (2019), Algorithm 1, without random starts."""
    clean = image = CLEAN.astype(np.float64)
    for _ in range(steps):
        value, slope = yield from nearest_boundary(best, image, aims)
        here = onto(best.threat, image, slope, value)
        there = onto(best.threat, clean, slope, value + (slope * (clean - image)).sum())
        way, back = length_of(best.threat, here), length_of(best.threat, there)
        pull = min(way / max(way + back, 1e-12), 0.1)
        moved = np.clip((1 - pull) * (image + 1.05 * here) + pull * (clean + 1.05 * there), 0, 1)
        wrong = best.says((yield moved)).wrong
        image = clean + 0.9 * (moved - clean) if wrong else moved


def fab(model, threat, steps, targets, in_turn):
    best = Best(model, threat)
    best.says((yield CLEAN))
    aims = best.classes(targets)
    for group in [[aim] for aim in aims] if in_turn else [aims]:
        yield from boundary_walk(best, steps, group)
    yield from approaching(best)


@pytest.mark.parametrize("threat", [LINF, L2])
def test_walks_from_boundary_to_boundary(threat):
    model = Waves(lead=1.5)
    walk = deepfool(model, threat, 6, 2)
    follow(model, "deepfool(steps=6, candidates=2)", threat, 8.0, walk, 1e-4)
    follow(model, "fab(steps=6, targets=2)", threat, 8.0, fab(model, threat, 6, 2, False), 1e-4)
    follow(model, "fab-t(steps=6, targets=2)", threat, 8.0, fab(model, threat, 6, 2, True), 1e-4)


def saliency(model, share, size):
    """Papernot et al. (2015), Algorithms 2 and 3: the pair of values that favours a wrong class most, up or down."""
    best = Best(model, Threat(norm="l0"))
    best.says((yield CLEAN))
    aim, image, free = best.classes(1)[0], CLEAN.ravel().copy(), np.ones(math.prod(SHAPE), bool)
    for _ in range(int(share * len(image) / 2)):
        towards = best.says((yield image.reshape(SHAPE)), "logit", aim).slope.ravel()
        away = best.says((yield image.reshape(SHAPE)), "logit", 0).slope.ravel()
        if np.isfinite(best.distance):
            return
        chosen = (0.0, None, 0)
        for sign in (1, -1):
            able = np.flatnonzero(free & (image < 1 if sign > 0 else image > 0))
            for number, one in enumerate(able):
                for other in able[number + 1 :]:
                    alpha, beta = sign * (towards[one] + towards[other]), sign * (away[one] + away[other])
                    if alpha > 0 > beta and -alpha * beta > chosen[0]:
                        chosen = (-alpha * beta, [one, other], sign)
        _, pair, sign = chosen
        if pair is not None:
            image[pair] = np.clip(image[pair] + size * sign, 0, 1)
            free[pair] &= (image[pair] > 0) & (image[pair] < 1)
        best.says((yield image.reshape(SHAPE)))
        if pair is None or np.isfinite(best.distance):
            return


@pytest.mark.parametrize("size", [1.0, 0.3])
def test_saliency_maps(size):
    model = Waves(lead=4.0)
    walk = saliency(model, 0.3, size)
    follow(model, f"jsma(share=0.3, step={size})", Threat(norm="l0"), 80, walk)


def quasi_newton(model, steps, searches, memory):
    """Szegedy et al. (2013), section 4.1, by BFGS's two loops (Nocedal, 1980) within a box, Armijo's steps."""
    best = Best(model, L2)
    best.says((yield CLEAN))
    aim, clean = best.classes(1)[0], CLEAN.astype(np.float64)
    low, high, constant = 0.0, np.inf, 1.0

    def objective(x, seen):
        odds = seen.loss
        value = ((x - clean) ** 2).sum() + constant * np.log1p(np.exp(-odds))
        return value, 2 * (x - clean) - constant / (1 + np.exp(odds)) * seen.slope

    for _ in range(searches):
        x = best.image.astype(np.float64)
        seen = best.says((yield x.astype(np.float32)), "targeted-cross-entropy", aim)
        (value, slope), won, pairs = objective(x, seen), seen.wrong, []
        way, length = -slope / np.linalg.norm(slope), 1.0
        for _ in range(steps):
            trial = np.clip(x + length * way, 0, 1)
            seen = best.says((yield trial.astype(np.float32)), "targeted-cross-entropy", aim)
            now, there = objective(trial, seen)
            if now <= value + 1e-4 * (slope * (trial - x)).sum():
                pairs = [*pairs, (trial - x, there - slope)][-memory:]
                won, x, value, slope = seen.wrong, trial, now, there
                way, length = -inverse_hessian(pairs, slope), 1.0
                if (way * slope).sum() >= 0:
                    way = -slope
            else:
                pairs = [*pairs, (0 * x, 0 * x)][-memory:]
                length /= 2
            if length < 1e-6:
                break
        low, high = (low, constant) if won else (constant, high)
        constant = math.sqrt(max(low, high / 100) * high) if np.isfinite(high) else constant * 10
    yield from approaching(best)


def inverse_hessian(pairs, slope):
    """Return BFGS's estimate times the slope, from the formula H' = (I - rho s y') H (I - rho y s') + rho s s'."""
    curved = [(step.ravel(), turn.ravel()) for step, turn in pairs if (step * turn).sum() > 1e-12]
    matrix = np.eye(slope.size)
    if curved:
        step, turn = curved[-1]
        matrix *= (step @ turn) / (turn @ turn)
    for step, turn in curved:
        rho = 1 / (step @ turn)
        left = np.eye(slope.size) - rho * np.outer(step, turn)
        matrix = left @ matrix @ left.T + rho * np.outer(step, step)
    return (matrix @ slope.ravel()).reshape(slope.shape)


def test_lbfgs():
    model = Waves(lead=1.5)
    walk = quasi_newton(model, 12, 4, 4)
    follow(model, "lbfgs(steps=12, searches=4, memory=4)", L2, 10.0, walk, 2e-4)
