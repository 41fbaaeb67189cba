"""Images from updates: a network without pooling gives its image away; distances are counted by hand."""

import numpy as np
import pytest

import fedrobust
from fedrobust.exposure.inversion import batchnorm_of, matched_psnr, neighbour_psnr, softmax
from fedrobust.exposure.prevalence import mean_interval


def test_psnr_is_that_of_the_best_pairing():
    truth = np.stack([np.full((2, 2, 1), value) for value in (0.1, 0.5, 0.9)])
    np.testing.assert_allclose(matched_psnr(truth, truth[[2, 0, 1]] + 0.1), 20.0)


def test_the_nearest_neighbour_is_another_image_than_the_truth_itself():
    train = np.stack([np.full((2, 2, 1), value, np.uint8) for value in (0, 51, 255)])
    np.testing.assert_allclose(neighbour_psnr(train[:1] / 255, train), [-10 * np.log10(0.04)])


def test_batchnorm_is_told_by_the_study():
    assert [batchnorm_of("batch", True), batchnorm_of("frozen", True), batchnorm_of("group", False)] == [
        "training",
        "evaluation",
        "none",
    ]
    np.testing.assert_allclose(softmax(np.array([[1000.0, 0.0]])), [[1.0, 0.0]])
    assert mean_interval([0.5]) == (-1.0, 1.0)


@pytest.mark.slow
def test_an_image_is_reconstructed_from_a_plain_gradient_step(small, tmp_path):
    """PSNR of 20 dB and more, above the most similar other training image; with many images it is lost."""
    settings = {
        **small,
        "data__samples": 80,
        "model__name": "strided-cnn(width=8)",
        "training__layers": "all",
        "training__optimizer": "sgd",
        "training__learning_rate": 0.1,
        "training__epochs": 1,
        "federation__rounds": 1,
    }
    run = fedrobust.run(**settings, output__dir=str(tmp_path / "run"))
    attacks = [
        "inverting-gradients(steps=600, trials=1)",
        "inverting-gradients(steps=600, trials=1, images=16)",
    ]
    one, many = fedrobust.attack_privacy(run.path, attacks)["inversion"]
    assert one["psnr"][0] > max(20, one["neighbour-psnr"][0] + 3)
    assert (one["labels-found"], one["steps"], one["batchnorm"]) == (1, 1, "none")
    assert np.median(many["psnr"]) < one["psnr"][0] - 5
    with pytest.raises(fedrobust.config.ConfigError, match="images = 1000"):
        fedrobust.attack_privacy(run.path, ["inverting-gradients(images=1000)"])
