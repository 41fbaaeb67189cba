"""Side by side with ART and Foolbox, image by image."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.config import Experiment
from fedrobust.evasion import Threat, attack
from fedrobust.evasion.models.model_file import open_model
from fedrobust.study import Study

EPSILONS = [0.001, 0.005, 2 / 255, 4 / 255]


@pytest.fixture(
    scope="module", params=["breastmnist", pytest.param("pneumoniamnist", marks=pytest.mark.slow)]
)
def problem(request, real_data):
    """A MobileNetV2 that learnt something, its test images and labels."""
    experiment = Experiment.quickstart(
        data__name=request.param,
        data__root=str(real_data),
        model__name="mobilenetv2",
        model__image_size=32,
        model__weights="weights/mobilenet_v2_imagenet_notop.weights.h5",
        federation__clients=1,
        federation__rounds=1,
        training__epochs=4 if request.param == "breastmnist" else 1,
        training__schedule="cosine",
    )
    study = Study.of(experiment)
    dataset = study.dataset
    classifier, weights = study.initial()
    weights, _ = study.local_training(dataset.train, weights, round=1, client=0)
    model = classifier.deployable(weights)
    rows = slice(0, 128)
    images = dataset.test.images[rows].astype(np.float32) / np.float32(255)
    labels = dataset.test.labels[rows]
    clean = np.asarray(model(images)).argmax(1)
    assert (clean == labels).mean() > 0.7
    return model, images, labels


def ours(problem, name, epsilons, **settings):
    model, images, labels = problem
    target = open_model(model, images.shape[1:], 2).target
    return ~attack(target, images, labels, name, Threat(), epsilons, **settings).success


def arts(problem):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from art.estimators.classification import TensorFlowV2Classifier
    model, images, labels = problem
    classifier = TensorFlowV2Classifier(
        model=model,
        nb_classes=2,
        input_shape=images.shape[1:],
        loss_object=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        clip_values=(0, 1),
    )
    truth = np.eye(2, dtype=np.float32)[labels]

    def right(attacker):
        return classifier.predict(attacker.generate(images, y=truth)).argmax(1) == labels

    return classifier, right


def no_weaker(here, there, share=0.01):
    """Robust accuracy is at most the other's, and at most a share of the images is right here and broken there."""
    assert here.sum() <= there.sum() + 1
    assert (here & ~there).mean() <= share


@pytest.mark.slow
def test_fgsm_is_arts_and_foolboxs(problem):
    from art.attacks.evasion import FastGradientMethod
    from foolbox import TensorFlowModel
    from foolbox.attacks import FGSM

    model, images, labels = problem
    classifier, right = arts(problem)
    textbook = ours(problem, "fgsm(loss='cross-entropy')", EPSILONS, nested=False)
    worst = ours(problem, "fgsm", EPSILONS)
    fmodel = TensorFlowModel(model, bounds=(0, 1))
    _, _, success = FGSM()(fmodel, tf.constant(images), tf.constant(labels, tf.int64), epsilons=EPSILONS)
    for place, epsilon in enumerate(EPSILONS):
        there = right(FastGradientMethod(classifier, eps=epsilon, batch_size=128))
        assert (textbook[place] != there).mean() <= 0.01, "the same attack, image by image"
        assert (textbook[place] != ~np.asarray(success)[place]).mean() <= 0.01
        no_weaker(worst[place], there)


@pytest.mark.slow
@pytest.mark.parametrize("starts", [0, 1])
def test_pgd_is_no_weaker_than_arts(problem, starts):
    """As it comes, and as the same attack: equal steps, cross-entropy, from the image."""
    from art.attacks.evasion import ProjectedGradientDescent

    classifier, right = arts(problem)
    epsilon, share = 2 / 255, 0.125
    np.random.seed(0)  # noqa: NPY002 (what ART draws from)
    there = right(
        ProjectedGradientDescent(
            classifier,
            eps=epsilon,
            eps_step=share * epsilon,
            max_iter=20,
            num_random_init=starts,
            batch_size=128,
            verbose=False,
        )
    )
    no_weaker(ours(problem, f"pgd(steps=20, random_start={starts == 1})", [epsilon])[0], there)
    if not starts:
        same = f"pgd(steps=20, step_size={share}, random_start=False, loss='cross-entropy')"
        no_weaker(ours(problem, same, [epsilon])[0], there)


@pytest.mark.slow
def test_the_ensemble_is_no_weaker_than_arts_strongest_that_runs(problem):
    """ART's Auto-PGD on DLR crashes with two classes; on cross-entropy it runs."""
    from art.attacks.evasion import AutoProjectedGradientDescent

    classifier, right = arts(problem)
    epsilon = 2 / 255
    there = right(
        AutoProjectedGradientDescent(
            classifier,
            eps=epsilon,
            eps_step=2 * epsilon,
            max_iter=10,
            nb_random_init=1,
            batch_size=128,
            loss_type="cross_entropy",
            verbose=False,
        )
    )
    here = ours(problem, "ensemble(steps=60, queries=50)", [epsilon])[0]
    no_weaker(here, there)
