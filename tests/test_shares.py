from fractions import Fraction

import tensorflow as tf

from fedrobust.shares import exact, part_of, round_half_up, sample_size
from fedrobust.training.recipes.pgd import share_of


def test_a_share_of_a_batch_is_exact_for_every_share_and_size():
    for hundredths in range(1, 101):
        for images in range(1, 65):
            right = -(-hundredths * images // 100)
            assert part_of(hundredths / 100, images) == right
            if images % 7 == 1 or (hundredths * images) % 100 == 0:
                assert int(share_of(hundredths / 100, tf.constant(images))) == right


def test_thirds_sevenths_and_the_whole():
    assert [part_of(1 / 3, n) for n in (1, 3, 6, 9, 10)] == [1, 1, 2, 3, 4]
    assert [part_of(3 / 7, n) for n in (7, 14, 700)] == [3, 6, 300]
    assert part_of(1.0, 12345) == 12345
    assert int(share_of(1.0, tf.constant(2**30))) == 2**30
    assert exact(1) == Fraction(1)


def test_clients_of_a_round_are_counted_exactly():
    """0.145 x 100 is 14.499999999999998 in floating point, whose half goes down."""
    assert sample_size(0.145, 100) == 15
    assert sample_size(0.285, 1000) == 285
    assert sample_size(0.001, 10) == 1
    assert round_half_up(Fraction(5, 2)) == 3
