"""Studies of a few made-up images, whose parts a test puts in by hand: nothing is loaded, and nothing trained."""

import json
from types import SimpleNamespace

import numpy as np

from fedrobust.config import Experiment
from fedrobust.data.dataset import Dataset, Split
from fedrobust.data.problem import Problem
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.runs.events import StageStarted
from fedrobust.study import Study

LAYOUT = Layout((Entry("kernel", (2,), "trainable"), Entry("norm/moving_variance", (1,), "statistic")))


def weights(value, variance=1.0) -> Weights:
    """Return weights of `LAYOUT` that all have one value."""
    return Weights(np.full(2, value, np.float32), np.array([variance], np.float32))


def split(*labels) -> Split:
    """Return an image of 5 x 4 pixels for each label; image i has the grey level i."""
    levels = np.arange(len(labels), dtype=np.uint8)
    return Split(levels[:, None, None, None] * np.ones((1, 5, 4, 1), np.uint8), np.array(labels, np.int32))


def dataset(train=(0, 1, 2), validation=(0, 2, 1), test=(1, 2, 1, 0)) -> Dataset:
    """Return a data set whose splits have these labels."""
    return Dataset(
        name="made-up",
        train=split(*train),
        validation=split(*validation),
        test=split(*test),
        label_names=("healthy", "one", "two"),
        task="multi-class",
        disease=(1, 2),
        source="this file",
        licence="none",
        digest="0123456789abcdef",
    )


class Partition:
    """Who has which images.

    Args:
        shards: the rows of each client.
    """

    hash, unevenness = "f" * 8, "2 to 9 each"

    def __init__(self, *shards):
        self.shards, self.sizes = shards, [len(shard) for shard in shards]

    def write(self, path):
        """Write ``partition.json``."""
        path.write_text(json.dumps({"hash": self.hash}))


def shared(*counts) -> tuple[Dataset, Partition]:
    """Return images, and a partition in which client i has ``counts[i][k]`` of class k."""
    labels = [label for row in counts for label, count in enumerate(row) for _ in range(count)]
    ends = np.cumsum([sum(row) for row in counts])
    shards = [np.arange(end - sum(row), end) for end, row in zip(ends, counts, strict=True)]
    return dataset(labels), Partition(*shards)


def with_parts(whole, **parts):
    """Return `whole` with `parts` in the place of those that it would build."""
    assert all(hasattr(type(whole), name) for name in parts), "it has no such part"
    vars(whole).update(parts)
    return whole


def small_study(images=None, partition=None, **settings) -> Study:
    """Return the study of `settings` on `images`."""
    images = images or dataset()
    return with_parts(
        Study(Experiment.of(**settings)),
        dataset=images,
        problem=Problem.of(images),
        partition=partition or Partition(),
    )


def stages(told) -> list[str]:
    """Return the stages among the events of a test."""
    return [event.stage for event in told if isinstance(event, StageStarted)]


def noting(seen, name, answer=None):
    """Return a function that appends its name and what it is given to `seen`, and returns `answer`."""
    return lambda *given: seen.append((name, *given)) or answer


def saving(text) -> SimpleNamespace:
    """Return a model that is saved as `text`."""
    return SimpleNamespace(save=lambda path: path.write_text(text))
