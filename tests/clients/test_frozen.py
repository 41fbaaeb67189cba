import pytest

from clients.app import check_frozen
from fedrobust.config import Experiment
from fedrobust.models.architecture import ModelError


def test_a_client_with_another_frozen_part_than_the_servers_refuses_in_one_sentence():
    given = Experiment.of(training__layers="head", model__weights="imagenet")
    study = (given.model, given.training)
    check_frozen("a" * 64, "a" * 64, *study)
    check_frozen("", "", *study)
    with pytest.raises(
        ModelError, match=r"frozen layers of mobilenetv2 have digest aaaaaaaaaaaa here, bbbb.*imagenet"
    ):
        check_frozen("a" * 64, "b" * 64, *study)
    with pytest.raises(ModelError, match="digest aaaaaaaaaaaa here, none at the server"):
        check_frozen("a" * 64, "", *study)
