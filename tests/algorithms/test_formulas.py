"""Each algorithm against its paper's formulas, with clients whose losses are quadratic."""

from dataclasses import replace

import numpy as np
import pytest
from quadratics import LAYOUT, Quadratic, federated, weights

from fedrobust.algorithms import Ditto, FedAvg, FedDyn, FedNova, FedPer, FedRep, Scaffold
from fedrobust.algorithms.contract import Received, sent_by_client

UNLIKE = [Quadratic([1.0, 4.0], [1.0, -1.0]), Quadratic([3.0, 1.0], [-2.0, 2.0])]
OPTIMUM = np.array([(1 * 1 + 3 * -2) / 4, (4 * -1 + 1 * 2) / 5])
"""Where the sum of both clients' gradients is zero."""


def test_federated_averaging_ends_beside_the_optimum_of_unlike_clients():
    ended, _, _ = federated(FedAvg(), UNLIKE, 200)
    assert np.abs(ended.trainable - OPTIMUM).max() > 0.05


@pytest.mark.parametrize("algorithm", [Scaffold(), FedDyn(alpha=1.0)])
def test_corrected_gradients_lead_to_the_optimum_of_unlike_clients(algorithm):
    ended, _, _ = federated(algorithm, UNLIKE, 200)
    np.testing.assert_allclose(ended.trainable, OPTIMUM, atol=1e-4)


@pytest.mark.parametrize("algorithm", [Scaffold(), FedDyn(alpha=1.0)])
def test_weighted_clients_that_take_part_in_turn_end_at_the_optimum_of_the_weighted_loss(algorithm):
    three = [*UNLIKE, Quadratic([2.0, 2.0], [3.0, 0.5])]
    curvature, centre = np.array([c.curvature for c in three]), np.array([c.centre for c in three])
    sizes = np.array([10, 30, 60])
    optimum = (sizes @ (curvature * centre)) / (sizes @ curvature)
    ended, _, _ = federated(algorithm, three, 900, sizes=sizes, groups=[[0, 1], [1, 2], [0, 2]])
    np.testing.assert_allclose(ended.trainable, optimum, atol=1e-4)


def test_scaffolds_control_variates_are_option_two_and_their_mean_is_the_servers():
    one, other = (Quadratic(each.curvature, each.centre) for each in UNLIKE)
    _, states, memory = federated(Scaffold(), [one, other], 3)
    mean = np.mean([state["control"] for state in states], axis=0)
    np.testing.assert_allclose(memory["control"], mean, atol=1e-6)
    start, own = weights(0.3, -0.2), states[0]["control"]
    one.broadcast = {"control": memory["control"]}
    sent = sent_by_client(Scaffold(), start, states[0], one)
    moved = start.trainable - sent.weights.trainable
    option_two = own - memory["control"] + moved / (one.steps * one.rate)
    np.testing.assert_allclose(sent.state["control"], option_two, atol=1e-5)
    np.testing.assert_allclose(sent.arrays["control"], option_two - own, atol=1e-5)


def test_a_share_of_the_population_moves_the_servers_control_variate_by_its_share():
    received = Received({"control": np.array([4.0, 8.0], np.float32)}, clients=2, population=8)
    update, memory = Scaffold().server(np.ones(2, np.float32), {}, received)
    assert (update.tolist(), memory["control"].tolist()) == ([1, 1], [1, 2])


def test_feddyns_linear_term_becomes_the_gradient_at_the_clients_own_weights():
    client = Quadratic([2.0, 1.0], [1.0, -1.0], steps=400)
    sent = sent_by_client(FedDyn(alpha=0.5), weights(0, 0), {}, client)
    # The minimum of h (w - b)^2 / 2 + alpha w^2 / 2 is h b / (h + alpha).
    np.testing.assert_allclose(sent.weights.trainable, [2 / 2.5, -1 / 1.5], atol=1e-5)
    np.testing.assert_allclose(sent.state["linear"], client.gradient(sent.weights.trainable), atol=1e-5)


def test_feddyns_server_adds_the_sum_of_all_updates():
    update, memory = FedDyn().server(np.array([1.0], np.float32), {}, Received({}, 1, 4))
    assert (update.tolist(), memory["moved"].tolist()) == ([1.25], [0.25])
    update, memory = FedDyn().server(np.array([2.0], np.float32), memory, Received({}, 2, 4))
    assert (update.tolist(), memory["moved"].tolist()) == ([3.25], [1.25])


def test_fednova_weighs_clients_alike_whatever_their_number_of_steps():
    """Steps so short that the gradient stands still: the fixed point of normalised updates is the optimum."""
    slow, fast = (Quadratic([1.0, 1.0], [b, b], steps=k, rate=1e-3) for b, k in ((1.0, 2), (-1.0, 18)))
    direction = np.array([1.0, 1.0])
    sent = [sent_by_client(FedNova(), weights(0, 0), {}, each) for each in (slow, fast)]
    np.testing.assert_allclose([one.arrays["accumulated"][0] for one in sent], [0.002, 0.018], rtol=1e-5)
    np.testing.assert_allclose(sent[0].weights.trainable, direction, rtol=0.02)
    np.testing.assert_allclose(sent[1].weights.trainable, -direction, rtol=0.02)
    ended, _, _ = federated(FedNova(), [slow, fast], 1)
    leaning, _, _ = federated(FedAvg(), [slow, fast], 1)
    np.testing.assert_allclose(ended.trainable, 0, atol=1e-4)
    np.testing.assert_allclose(leaning.trainable, -0.008, rtol=0.05)


def test_fednova_gives_clients_of_equal_steps_federated_averaging():
    one, other = federated(FedNova(), UNLIKE, 5)[0], federated(FedAvg(), UNLIKE, 5)[0]
    np.testing.assert_allclose(one.trainable, other.trainable, rtol=1e-5)


def test_personal_heads_go_each_to_their_own_clients_minimum_and_the_body_to_a_common_one():
    for algorithm in (FedPer(), FedRep(head_epochs=2)):
        ended, states, _ = federated(algorithm, UNLIKE, 100)
        heads = [state["trainable"].item() for state in states]
        np.testing.assert_allclose(heads, [-1, 2], atol=1e-4)
        assert -2 < ended.trainable[0] < 1
        models = [algorithm.personal(ended, state, LAYOUT).trainable for state in states]
        np.testing.assert_allclose([model[1] for model in models], heads)
        np.testing.assert_allclose([model[0] for model in models], ended.trainable[0])


def test_fedrep_trains_the_head_alone_and_then_all_else():
    client = replace(UNLIKE[0], calls=[])
    sent_by_client(FedRep(head_epochs=3), weights(0, 0), {}, client)
    (_, _, first, epochs), (_, _, then, study) = client.calls
    assert (first.tolist(), epochs, then.tolist(), study) == ([False, True], 3, [True, False], None)


def test_what_stays_with_the_client_is_not_in_what_it_sends():
    start = weights(0.5, 0.25)
    kept = sent_by_client(FedPer(average=False), start, {}, UNLIKE[0])
    told = sent_by_client(FedPer(), start, {}, UNLIKE[0])
    assert kept.weights.trainable[1] == start.trainable[1] != told.weights.trainable[1]
    assert kept.weights.trainable[0] == told.weights.trainable[0] != start.trainable[0]
    np.testing.assert_array_equal(kept.state["trainable"], told.weights.trainable[1:])


def test_dittos_personal_model_lies_between_the_clients_minimum_and_the_global_model():
    """Its fixed point for global weights g is (h b + strength g) / (h + strength)."""
    client, g = Quadratic([2.0, 1.0], [1.0, -1.0], steps=50), weights(0.5, 0.5)
    ditto, state = Ditto(strength=2.0), {}
    for _ in range(20):
        sent = sent_by_client(ditto, g, state, client)
        state = sent.state
    expected = (np.array([2.0, -1.0]) + 2 * g.trainable) / np.array([4.0, 3.0])
    np.testing.assert_allclose(ditto.personal(g, state, LAYOUT).trainable, expected, atol=1e-4)
    plain = sent_by_client(FedAvg(), g, {}, client)
    np.testing.assert_array_equal(sent.weights.trainable, plain.weights.trainable)


def test_dittos_first_personal_model_begins_at_the_global_one():
    assert Ditto().personal(weights(1, 2), {}, LAYOUT).trainable.tolist() == [1, 2]
