"""The one-pixel attack: one or a few pixels, found by differential evolution."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedrobust.bounds import Count, Whole
from fedrobust.evasion.contract import ATTACKS, Attack
from fedrobust.evasion.kernels import kept
from fedrobust.evasion.rng import integers, normal, uniform
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Images, Norm


@ATTACKS.register("one-pixel")
@dataclass(frozen=True, kw_only=True)
class OnePixel(Attack):
    """Differential evolution of the positions and values of a few pixels (Su et al., 2017, arXiv:1710.08864).

    A child is r1 + 0.5 (r2 - r3) of three other candidates, and replaces its parent if its margin is larger. The paper
    uses a population of 400 and 100 generations.

    Attributes:
        population: candidates for each image.
        generations: number of generations after the first.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l0",)
    white_box: ClassVar[bool] = False

    population: Annotated[
        Count, Field(ge=4, description="a whole number from 4: a child has three parents beside its own")
    ] = 50
    generations: Whole = 20

    @property
    def passes(self) -> int:
        """One for each candidate and generation."""
        return self.population * (self.generations + 1)

    def run(self, state: SearchState) -> None:
        """Evolve until all images are broken or all generations are done."""
        pixels, shape = int(state.epsilon), state.clean.shape[1:]
        genes = 2 + shape[2]
        keys, population = state.keys, self.population
        places = uniform(keys, 0, (population, pixels, 2))
        values = 0.5 + 0.5 * normal(keys, 1, (population, pixels, shape[2]))
        herd = np.clip(np.concatenate([places, values], axis=3), 0.0, 1.0)
        fitness = self.fitness(state, herd)
        keys, herd, fitness = kept(state.keep(), keys, herd, fitness)
        for generation in state.steps(self.generations):
            one, two, three = _others(keys, generation, population)
            rows = np.arange(len(herd))[:, None]
            children = herd[rows, one] + 0.5 * (herd[rows, two] - herd[rows, three])
            children = np.clip(children.reshape(len(herd), population, pixels, genes), 0.0, 1.0)
            grown = self.fitness(state, children)
            better = grown > fitness
            herd = np.where(better[:, :, None, None], children, herd)
            fitness = np.maximum(fitness, grown)
            keys, herd, fitness = kept(state.keep(), keys, herd, fitness)

    def fitness(self, state: SearchState, herd: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return each candidate's margin, (n, population)."""
        logits = state.query_many(_drawn(state.clean, herd))
        return np.stack(
            [state.margins(logits[:, place], state.labels) for place in range(herd.shape[1])], axis=1
        )


def _drawn(clean: Images, herd: NDArray[np.float32]) -> Images:
    """Return the candidates as images, (n, population, height, width, channels)."""
    n, population, pixels, _ = herd.shape
    height, width = clean.shape[1:3]
    images = np.repeat(clean[:, None], population, axis=1)
    rows = np.minimum((herd[..., 0] * height).astype(np.int64), height - 1)
    columns = np.minimum((herd[..., 1] * width).astype(np.int64), width - 1)
    at, candidate = np.arange(n)[:, None], np.arange(population)[None, :]
    for pixel in range(pixels):
        images[at, candidate, rows[:, :, pixel], columns[:, :, pixel]] = herd[:, :, pixel, 2:]
    return images


def _others(
    keys: NDArray[np.uint64],
    generation: int,
    population: Annotated[
        Count, Field(ge=4, description="a whole number from 4: a child has three parents beside its own")
    ],
) -> tuple[NDArray[np.int64], ...]:
    """Return three different candidates, none of them the parent, for every child: three arrays (n, population)."""
    shifts = [integers(keys, 10 + 3 * generation + turn, population, (population,)) for turn in range(3)]
    parent = np.arange(population)[None, :]
    one = (parent + 1 + shifts[0] % (population - 1)) % population
    two = (parent + 1 + shifts[1] % (population - 1)) % population
    two = np.where(two == one, (two + 1) % population, two)
    two = np.where(two == parent, (two + 1) % population, two)
    two = np.where(two == one, (two + 1) % population, two)
    three = (parent + 1 + shifts[2] % (population - 1)) % population
    for _ in range(3):
        taken = (three == one) | (three == two) | (three == parent)
        three = np.where(taken, (three + 1) % population, three)
    return one, two, three
