"""The length of the server's own update beside those of clients, with real training."""

import numpy as np
import pytest

from fedrobust.config import Experiment
from fedrobust.data.phantom import phantom
from fedrobust.study import Study
from server.root_update import root_update_of

VALIDATION = phantom(train=2, validation=400, test=2).validation
SAMPLES = 1500


@pytest.mark.parametrize("clients", [5, 10, 50])
def test_it_is_as_long_as_those_of_clients_of_the_same_patients_whatever_the_number_of_root_images(clients):
    study = Study(
        Experiment.quickstart(
            data__samples=SAMPLES, federation__clients=clients, training__epochs=2, training__batch_size=32
        )
    )
    start = study.classifier.initial_weights()
    updates = [
        study.local_training(study.shard(client), start, 1, client)[0].trainable - start.trainable
        for client in range(5)
    ]
    honest = float(np.median(np.linalg.norm(updates, axis=1)))
    root = root_update_of(study.local_training, VALIDATION, clients)
    few, many = (
        float(np.linalg.norm(root(start, images, 1, SAMPLES / clients))) / honest for images in (100, 400)
    )
    assert 0.7 <= few <= 1.4
    assert 0.7 <= many <= 1.4
    assert few == pytest.approx(many, rel=0.15)
