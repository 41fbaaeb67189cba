"""What a study costs, in closed form."""

from types import SimpleNamespace

import numpy as np
import pytest
from small_study import small_study, with_parts

import server.forecast
from fedrobust.config import Experiment
from fedrobust.data.calibration_sample import calibration_count
from fedrobust.data.dataset import Split
from fedrobust.models.layout import Entry, Layout
from fedrobust.runs.forecast import DoesNotFitError
from server.client_registry import ClientRegistry
from server.forecast import evaluation_threads, forecast_of, int8_bytes, sums_only
from server.parts import ServerParts

LAYOUT = Layout((Entry("kernel", (100,), "trainable"), Entry("norm/moving_mean", (20,), "statistic")))


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Three cores, of which no study can change the number; a process of 5000 bytes; 10**9 bytes are free."""
    monkeypatch.setattr(server.forecast, "cores", lambda: 3)
    monkeypatch.setattr(server.forecast, "peak_memory", lambda: 5000)
    monkeypatch.setattr(server.forecast, "available_memory", lambda: 10**9)


@pytest.mark.parametrize(
    ("engine", "workers", "threads"),
    [("threads", 5, 5), ("threads", 0, 3), ("ray", 5, 3), ("ray", 0, 3)],
)
def test_as_many_batches_at_a_time_as_clients_train_here_or_one_a_core(engine, workers, threads):
    settings = Experiment.of(engine__name=engine, engine__workers=workers).engine
    assert evaluation_threads(settings) == threads


def parts_of(**settings) -> ServerParts:
    """Return the server's parts of a study whose model has the layout above."""
    study = with_parts(small_study(**settings), local_training=None)
    model = SimpleNamespace(layout=LAYOUT)
    return with_parts(ServerParts(study, None, None), initial=(model, None), class_counts=None)


@pytest.mark.parametrize(
    ("settings", "sums"),
    [
        ({}, True),
        ({"federation__aggregator": "mean(weighting='uniform')"}, True),
        ({"federation__aggregator": "median"}, False),
        ({"federation__pre_aggregators": ["nnm"]}, False),
        ({"poisoning__attack": "sign-flip", "poisoning__malicious": [0]}, False),
        ({"poisoning__attack": "none", "poisoning__malicious": [0]}, True),
    ],
)
def test_a_mean_of_honest_clients_is_summed_as_they_arrive(settings, sums):
    assert sums_only(parts_of(**settings).step) is sums


def refused(monkeypatch, settings, free) -> str:
    monkeypatch.setattr(server.forecast, "available_memory", lambda: free)
    try:
        parts_of(federation__clients=10, **settings).check_memory()
    except DoesNotFitError as error:
        return str(error)
    return ""


def test_a_matrix_of_the_rounds_clients_must_fit(monkeypatch):
    """A row of 120 float32 a client, one for the result: 2400 bytes for 4 clients, at most 0.9 of what is free."""
    half = {"federation__aggregator": "median", "federation__participation": 0.4}
    assert refused(monkeypatch, half, 2667) == ""
    assert refused(monkeypatch, half, 2666).startswith(
        "the study needs 2.4 kB of memory, 2.4 kB of it for aggregating 4 clients, and 2.7 kB are free"
    )
    every = {"federation__aggregator": "median"}
    assert refused(monkeypatch, every, 5867) == ""
    assert "5.3 kB of it for aggregating 10 clients" in refused(monkeypatch, every, 5866)


def test_sums_need_no_matrix(monkeypatch):
    assert refused(monkeypatch, {}, 2667) == ""
    assert "2.4 kB of it for aggregating 10 clients" in refused(monkeypatch, {}, 2666)


def dataset_of(validation):
    """A test split of 50 images, and so many of 4 x 4 pixels to validate on."""
    images = np.zeros((validation, 4, 4, 1), np.uint8)
    split = Split(images, np.zeros(validation, np.int32))
    return SimpleNamespace(test=range(50), validation=split, image_shape=(4, 4, 1))


def federation(registry, sample, **settings):
    """Return the clients of a study, of whom `sample` chooses those of a round."""
    step = parts_of(**settings).step
    sampling = SimpleNamespace(typical=sample, fullest_round=lambda rounds: 1)
    return SimpleNamespace(registry=registry, layout=LAYOUT, step=step, sampling=sampling)


def forecast(workers=2, sampled=(1, 4, 6), step=0.6, **settings):
    """Return the forecast of clients with 33, 64 and 8 images whose step of 32 takes 0.6 s; 50 images are evaluated."""
    settings = {
        "federation__clients": 10,
        "federation__rounds": 7,
        "training__batch_size": 32,
        "training__epochs": 2,
        "data__augment": 0,
        "evaluation__every": 3,
        "evaluation__epsilons": [0.01, 0.02],
        **settings,
    }
    experiment = Experiment.of(**settings)
    registry = ClientRegistry(np.array([1, 3, 4, 6]), None, np.array([33, 1000, 64, 8]), step, 700)
    seen = []

    def sample(round):
        seen.append(round)
        return list(sampled)

    clients = federation(registry, sample, **settings)
    told = forecast_of(
        experiment, dataset_of(1), clients, workers, {"clients": 3}, "none", SimpleNamespace(parameters=500)
    )
    assert seen == [1]
    return experiment, told


def test_a_round_in_closed_form():
    experiment, told = forecast(federation__aggregator="median")
    assert (told.rounds, told.evaluations, told.workers, told.clients) == (7, 3, 2, 3)
    assert (told.parameters, told.message_bytes, told.step_seconds) == (100, 480, 0.6)
    # 33, 64 and 8 images are 2, 2 and 1 batches, twice each.
    assert told.steps == 4 + 4 + 2
    # Two workers: 4 and 4 steps, then 2 more of the first that is free.
    assert told.training_seconds == pytest.approx(6 * 0.6)
    # A clean pass, a gradient that costs as much as two more, one more, and one an epsilon; a third of a step each.
    assert told.evaluation_seconds == pytest.approx(50 * 6 * (0.6 / 32 / 3) / evaluation_threads(experiment))
    assert told.matrix_bytes == 120 * 4 * (3 + 1)
    assert told.memory_bytes == 5000 + 1920 + 2 * 2 * 4 * 120
    assert told.available_bytes == 10**9
    assert told.tolerance == {"clients": 3}


def test_what_an_algorithm_sends_and_how_often_it_trains_is_reckoned():
    assert forecast(training__algorithm="scaffold")[1].message_bytes == 480 + 400
    assert forecast(training__algorithm="fednova")[1].message_bytes == 484
    assert forecast(training__algorithm="ditto")[1].steps == 2 * 10
    assert forecast(training__algorithm="fedrep(head_epochs=3)")[1].steps == (3 + 2) * (2 + 2 + 1)


@pytest.mark.parametrize(
    ("rule", "passes"),
    [("deepsight", 3 * 300 * 4), ("deepsight(seeds=1, images=10)", 40), ("flshield", 400), ("median", 0)],
)
def test_images_that_a_rule_asks_models_about_take_time(rule, passes):
    """Three clients and the global model; a pass is a third of a step of 32 images."""
    experiment, told = forecast(federation__aggregator=rule)
    _, plain = forecast(federation__aggregator="median")
    assert told.rule_passes == passes
    more = passes * (0.6 / 32 / 3) / evaluation_threads(experiment)
    assert told.training_seconds - plain.training_seconds == pytest.approx(more)


@pytest.mark.parametrize(
    ("recipe", "passes"),
    [("pgd(steps=5)", 6), ("free(replays=4)", 4), ("awp(recipe='trades(steps=3)')", 7 + 1 / 3)],
)
def test_an_evaluation_costs_the_same_whatever_the_clients_train_with(recipe, passes):
    """A step takes as much longer as it has passes; images asked of models by a rule take no longer, either."""
    _, plain = forecast(federation__aggregator="flshield")
    _, robust = forecast(federation__aggregator="flshield", training__recipe=recipe, step=passes * 0.6)
    assert robust.evaluation_seconds == pytest.approx(plain.evaluation_seconds)
    trained = [one.training_seconds - 6 * one.step_seconds for one in (plain, robust)]
    assert trained[0] > 0
    assert trained[1] == pytest.approx(trained[0])


def test_a_run_takes_the_room_of_a_model_and_of_three_checkpoints():
    """Two checkpoints and the draft of a third, with weights of the round and of the selected model; 120 numbers."""
    assert forecast()[1].disk_bytes == 4 * 500 + 3 * 2 * 4 * 120


def test_sums_take_two_float64_and_a_result():
    _, told = forecast()
    assert (told.matrix_bytes, told.memory_bytes) == (120 * 20, 5000 + 2400 + 1920)


def test_augmented_images_are_trained_on_too():
    _, told = forecast(data__augment=2)
    # 99, 192 and 24 images: 4, 6 and 1 batches.
    assert told.steps == 2 * (4 + 6 + 1)
    # The largest first: 12, then 8 and 2 on the other.
    assert told.training_seconds == pytest.approx(12 * 0.6)


def test_without_workers_every_client_has_a_machine_of_its_own():
    _, told = forecast(workers=0)
    assert told.workers == 3
    assert told.training_seconds == pytest.approx(4 * 0.6)
    assert told.memory_bytes == 5000 + 2400 + 2 * 3 * 4 * 120


@pytest.mark.parametrize(
    ("engine", "processes"),
    [
        ({"engine__name": "ray"}, 2),
        ({"engine__name": "ray", "engine__address": "10.0.0.1:6379"}, 0),
        ({"engine__name": "threads"}, 0),
    ],
)
def test_processes_of_this_machine_hold_a_model_each(engine, processes):
    _, told = forecast(**engine)
    assert told.memory_bytes == 5000 + processes * 700 + 2400 + 1920


@pytest.mark.parametrize(("rounds", "every", "times"), [(7, 1, 7), (6, 3, 2), (8, 3, 3), (1, 5, 1)])
def test_how_often_is_evaluated(rounds, every, times):
    _, told = forecast(federation__rounds=rounds, evaluation__every=every)
    assert (told.rounds, told.evaluations) == (rounds, times)


def test_threads_share_an_evaluation():
    _, one = forecast(engine__name="threads", engine__workers=1)
    _, four = forecast(engine__name="threads", engine__workers=4)
    assert one.evaluation_seconds == pytest.approx(50 * 6 * 0.6 / 32 / 3)
    assert four.evaluation_seconds == pytest.approx(one.evaluation_seconds / 4)


@pytest.mark.parametrize("policy", ["average", "recalibrate", "moments"])
def test_measuring_statistics_anew_is_counted(monkeypatch, policy):
    """A forward pass on 40 validation images after each round, at a third of 0.6 s / 32 an image, and its memory.

    Or on the 64 images of the client.
    """
    monkeypatch.setattr(server.forecast, "recalibration_bytes", lambda classifier, images: 10_000 * images)
    settings = {
        "model__batchnorm_policy": policy,
        "federation__clients": 10,
        "training__batch_size": 32,
        "training__epochs": 1,
    }
    registry = ClientRegistry(np.array([0]), None, np.array([64]), 0.6, 700)
    clients = federation(registry, lambda round: [0], **settings)
    more = policy == "recalibrate"
    told = forecast_of(
        Experiment.of(**settings), dataset_of(40), clients, 1, {}, policy, SimpleNamespace(parameters=500)
    )
    measured = {"average": 0, "recalibrate": 40, "moments": 64}[policy]
    assert told.training_seconds == pytest.approx(2 * 0.6 + measured * 0.6 / 32 / 3)
    assert told.memory_bytes - 5000 == (400_000 if more else 3 * 4 * 40 * 16), (
        "or images for int8, of this study"
    )


@pytest.mark.parametrize(("formats", "needed"), [(("int8",), True), (("float32",), False)])
def test_images_for_int8_are_counted(formats, needed):
    """Three copies of 40 images of 16 float32."""
    assert int8_bytes(formats, dataset_of(40)) == needed * 3 * 4 * 40 * 16


@pytest.mark.parametrize("exported", [True, False])
def test_without_an_export_there_are_no_images_for_int8(exported):
    """Nothing else of this study takes as much: 1000 images of 16 float32, three times."""
    registry = ClientRegistry(np.array([0]), None, np.array([64]), 0.6, 700)
    settings = {"export__enabled": exported, "export__formats": ["int8"]}
    clients = federation(registry, lambda round: [0], **settings)
    told = forecast_of(
        Experiment.of(**settings), dataset_of(1000), clients, 1, {}, "none", SimpleNamespace(parameters=500)
    )
    images = 3 * 4 * calibration_count(dataset_of(1000).validation) * 16
    sums = 120 * 20 + 2 * 4 * 120
    assert images > sums
    assert told.memory_bytes - 5000 == (images if exported else sums)
