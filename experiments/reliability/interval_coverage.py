"""Coverage of confidence intervals on samples of known distributions.

    python experiments/reliability/interval_coverage.py                  # 1,000 samples of each distribution
    python experiments/reliability/interval_coverage.py --times 200

A distribution draws classes with a test set's frequencies, and for each image a normally distributed point around the
centre of its class; all centres have distance d. The logits are the exact log-probabilities of the classes given the
point, so that the model is calibrated; multiplied by a factor above 1 it is overconfident, below 1 underconfident. d
is chosen for a given AUC of two classes. With an AUC near 0.5 and unequal frequencies the model predicts the most
frequent class; at 0.999 nearly all its probabilities are 0 or 1. True values come from a million draws, or from
closed forms.

Metrics and intervals are computed by the functions of the audit's card and the report. An interval is valid if it
covers the true value in 92 to 98 % of the samples (with an allowance of two binomial standard errors), or if the card
says "too few" in at least half of them. Every other cell is marked "!", and the program ends with exit code 1.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm

from fedrobust.evaluation.calibration_error import calibration_error
from fedrobust.evaluation.clinical import few_to_calibrate, figures
from fedrobust.evaluation.matthews import matthews
from fedrobust.evaluation.metrics import log_odds
from fedrobust.evaluation.roc import area_under_roc
from fedrobust.evaluation.sensitivity import disease_score

LEAST, MOST = 0.92, 0.98
SIZES = (156, 624, 2005)
AREAS = (0.5, 0.9, 0.99, 0.999)
FACTORS = {"calibrated": 1.0, "slightly overconfident": 1.3, "overconfident": 2.5, "underconfident": 0.5}


@dataclass(frozen=True)
class Law:
    """A test set and a model on it.

    Args:
        name: of the test set.
        counts: its images of each class.
        disease: the labels that mean disease.
        distance: of two classes' centres.
        factor: of the calibrated logits.
    """

    name: str
    counts: tuple[int, ...]
    disease: tuple[int, ...]
    distance: float = 1.0
    factor: float = 1.0

    @property
    def shares(self) -> np.ndarray:
        """Share of each class."""
        return np.array(self.counts) / sum(self.counts)

    def draw(self, draw: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return labels (n,) and the logits (n, C) of a calibrated model, which `factor` multiplies."""
        classes = len(self.counts)
        labels = draw.choice(classes, n, p=self.shares)
        centre = self.distance / sqrt(2)
        points = draw.standard_normal((n, classes))
        points[np.arange(n), labels] += centre
        return labels, centre * points + np.log(self.shares)

    def truths(self, n: int = 1_000_000) -> dict[str, float]:
        """Return the true figures."""
        labels, logits = self.draw(np.random.default_rng(0), n)
        classes = len(self.counts)
        confusion = np.bincount(labels * classes + logits.argmax(1), minlength=classes**2).reshape(
            classes, -1
        )
        recalls = np.diag(confusion) / confusion.sum(1)
        ill = np.isin(labels, self.disease)
        score = disease_score(logits, self.disease)
        area = area_under_roc(labels[: n // 4], log_odds(logits[: n // 4]))
        assert area is not None
        return {
            "accuracy": float(np.trace(confusion) / n),
            "balanced accuracy": float(recalls.mean()),
            "auc": float(norm.cdf(self.distance / sqrt(2))) if classes == 2 else area.value,
            "mcc": float(matthews(confusion)),
            "recall, rarest class": float(recalls[np.argmin(self.counts)]),
            "sensitivity at 90% specificity": float((score[ill] > np.quantile(score[~ill], 0.9)).mean()),
            "disease missed": float((~np.isin(logits.argmax(1)[ill], self.disease)).mean()),
            **{f"calibration error, {name}": gap(logits, factor) for name, factor in FACTORS.items()},
        }


BREAST = Law("Breast", (42, 114), (0,))
PNEUMONIA = Law("Pneumonia", (234, 390), (1,))
DERMA = Law("Derma", (66, 103, 220, 23, 223, 1341, 29), (0, 1, 4))


def gap(logits: np.ndarray, factor: float) -> float:
    """Return the calibration error of `factor` times the logits (n, C) of a calibrated model.

    The true share of right answers is the calibrated probability of the answer, averaged over images of like
    confidence, in a thousand bins.
    """
    right = confidence_of(logits)
    said = confidence_of(logits * factor)
    if factor == 1.0:
        return 0.0
    bins = np.array_split(np.argsort(said), 1000)
    return sqrt(np.mean([(right[rows].mean() - said[rows].mean()) ** 2 for rows in bins]))


def confidence_of(logits: np.ndarray) -> np.ndarray:
    """Return the largest softmax probability of each row."""
    return np.exp(logits.max(1) - logsumexp(logits, axis=1))


@dataclass(frozen=True)
class Coverage:
    """How often an interval covered.

    Args:
        times: samples in which the figure exists.
        covered: of them, those with the truth inside.
        few: of them, those in which the card says "too few".
        outside: of them, those with the value outside of its own interval.
    """

    times: int
    covered: int
    few: int
    outside: int

    @property
    def share(self) -> float:
        """Share of samples in which the truth is inside."""
        return self.covered / self.times

    @property
    def error(self) -> float:
        """Binomial standard error of the share."""
        return sqrt(max(self.share * (1 - self.share), 0.5 / self.times) / self.times)

    @property
    def as_it_should_be(self) -> bool:
        """Whether the interval covers in 92 to 98 %, or says that it does not."""
        inside = LEAST - 2 * self.error <= self.share <= MOST + 2 * self.error
        return not self.outside and (inside or self.few >= self.times / 2)

    def __str__(self) -> str:
        return (
            f"{100 * self.share:.1f}"
            + (" few" if self.few >= self.times / 2 else "")
            + ("" if self.as_it_should_be else " !")
        )


def coverage(law: Law, n: int, times: int, seed: int = 0, truths: int = 1_000_000) -> dict[str, Coverage]:
    """Return the coverage of every figure over `times` samples of n images; true figures are of so many draws."""
    true, seen = law.truths(truths), defaultdict(list)
    draw = np.random.default_rng([seed, n, len(law.counts), int(1000 * law.distance)])
    for _ in range(times):
        for name, value, (low, high), few in sample(law, *law.draw(draw, n)):
            rounding = 1e-12
            seen[name].append(
                (low - rounding <= true[name] <= high + rounding, few, not low <= value <= high)
            )
    return {
        name: Coverage(len(rows), *(int(column) for column in np.sum(rows, axis=0)))
        for name, rows in seen.items()
    }


def sample(
    law: Law, labels: np.ndarray, logits: np.ndarray
) -> Iterator[tuple[str, float, tuple[float, float], bool]]:
    """Yield name, value, interval and whether the card says "too few", of every figure of one sample."""
    rarest = f"recall {np.argmin(law.counts)}"
    for name, found in figures(labels, logits, law.disease).items():
        if (name.startswith("recall") and name != rarest) or found.value is None:
            continue
        name = {rarest: "recall, rarest class", "calibration error": "calibration error, calibrated"}.get(
            name, name
        )
        assert found.interval is not None
        yield name, found.value, found.interval, found.few is not None
    right = logits.argmax(1) == labels
    for name, factor in FACTORS.items():
        if factor != 1.0:
            error = calibration_error(right, confidence_of(logits * factor))
            assert error is not None
            yield (
                f"calibration error, {name}",
                error.value,
                error.interval,
                few_to_calibrate(right) is not None,
            )


def laws() -> Iterator[tuple[Law, int, float]]:
    """Yield every law, its sample's size and the AUC of two classes at its distance."""
    for law, sizes in ((BREAST, SIZES), (PNEUMONIA, (624,)), (DERMA, SIZES)):
        for n in sizes:
            for area in AREAS:
                yield replace(law, distance=max(0.01, sqrt(2) * float(norm.ppf(area)))), n, area


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=1000, help="samples a law")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    wrong, names = 0, None
    for law, n, area in laws():
        found = coverage(law, n, options.times, options.seed)
        if names is None:
            names = list(found)
            print("| law | n | AUC | " + " | ".join(names) + " |\n" + "| --- " * (len(names) + 3) + "|")
        wrong += sum(not one.as_it_should_be for one in found.values())
        print(
            f"| {law.name} | {n} | {area} | " + " | ".join(str(found[name]) for name in names) + " |",
            flush=True,
        )
    print(
        f"\nbinomial standard error at 95 %: {100 * sqrt(0.95 * 0.05 / options.times):.1f}; "
        f"{wrong} not as they should be"
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
