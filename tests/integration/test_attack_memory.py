"""Attacks that remember: the same bits with any number of workers, on both engines, and after a resume."""

import numpy as np
import pytest

import fedrobust
from fedrobust.config import Experiment
from fedrobust.engines.simulate import simulate
from fedrobust.poisoning import AttackMemory
from fedrobust.runs.checkpoint import Checkpoint
from fedrobust.runs.events import RoundStarted
from fedrobust.runs.folder import RunFolder

pytestmark = pytest.mark.slow

ATTACKS = (
    "poisonedfl(window=2)",
    "pixel-backdoor + neurotoxin(top=0.1)",
    "a3fl(passes=2) + critical-layers",
    "iba(passes=2) + chameleon(epochs=1)",
)

SETTINGS = {
    "data__samples": 150,
    "model__name": "edge-cnn(width=8)",
    "model__image_size": 28,
    "federation__clients": 5,
    "federation__rounds": 4,
    "federation__participation": 0.8,
    "poisoning__malicious": 2,
    "poisoning__first_round": 2,
    "training__batch_size": 16,
    "evaluation__epsilons": [0.005],
    "evaluation__attacks": [],
    "evaluation__examples": 0,
    "evaluation__every": 4,
    "evaluation__select": "last",
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "output__report": False,
}


def study(folder, attack, **settings) -> Experiment:
    given = {**SETTINGS, "poisoning__attack": attack, "output__root": str(folder), **settings}
    return Experiment.quickstart(**given)


def bits(run) -> str:
    """Return the digest of the last global weights."""
    return run.result["model"]["digest"]


def stopped(experiment, folder, in_round) -> Checkpoint:
    """Stop a run in a round, and return its state before that."""

    def stop(event):
        if isinstance(event, RoundStarted) and event.round == in_round:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fedrobust.run(experiment, stop, out=folder)
    return Checkpoint.latest(RunFolder.open(folder))


@pytest.fixture(scope="module", params=ATTACKS)
def alone(request, tmp_path_factory):
    """One attack, and the bits of its run with one worker."""
    folder = tmp_path_factory.mktemp("alone")
    return request.param, bits(simulate(study(folder, request.param, engine__workers=1)))


def test_the_number_of_workers_changes_no_bit(alone, tmp_path):
    attack, expected = alone
    assert bits(simulate(study(tmp_path, attack, engine__workers=2))) == expected


def test_ray_changes_no_bit(alone, tmp_path):
    attack, expected = alone
    assert bits(simulate(study(tmp_path, attack, engine__name="ray", engine__workers=2))) == expected


def test_a_resumed_run_goes_on_with_what_attackers_remember(alone, tmp_path):
    attack, expected = alone
    folder = tmp_path / "run"
    before = stopped(study(tmp_path, attack), folder, in_round=4)
    assert len(before.clients) == 2, "the memories of two attackers"
    assert bits(fedrobust.resume(folder)) == expected


class Forgetful(AttackMemory):
    """A memory that is always empty."""

    @classmethod
    def of(cls, arrays):
        """Return nothing."""
        return AttackMemory()


def test_without_memory_the_bits_are_others(alone, tmp_path, monkeypatch):
    """That the memory matters at all: a study whose attackers forget ends elsewhere."""
    attack, expected = alone
    monkeypatch.setattr("clients.attacker.AttackMemory", Forgetful)
    assert bits(simulate(study(tmp_path, attack, engine__workers=1))) != expected


def test_malicious_clients_are_asked_alone_in_every_round_where_heads_are_trained(tmp_path):
    """Grouped clients have no state of their own: those that remember are never grouped."""
    settings = {"training__layers": "head", "federation__clients": 8, "federation__participation": 1.0}
    for number, attack in enumerate(ATTACKS[:2]):
        experiment = study(tmp_path, attack, poisoning__first_round=4, **settings)
        folder = tmp_path / str(number)
        assert len(stopped(experiment, folder, in_round=4).clients) == 2
        assert fedrobust.resume(folder).result["rounds"][-1]["clients"]["failed"] == 0


@pytest.mark.parametrize("name", ["a3fl", "iba"])
def test_the_control_of_a_learnt_trigger_sends_honest_updates(name, tmp_path):
    one = {"federation__rounds": 1, "poisoning__first_round": 1, "evaluation__every": 1}
    honest = simulate(study(tmp_path, "none", **one, poisoning__malicious=0))
    control = simulate(study(tmp_path, f"{name}(passes=2, share=0)", **one))
    poisoned = simulate(study(tmp_path, f"{name}(passes=2)", **one))

    def distance(run):
        pairs = zip(run.model().get_weights(), honest.model().get_weights(), strict=True)
        return max(float(np.abs(own - theirs).max()) for own, theirs in pairs)

    # The sum of the global weights and the update is rounded.
    assert distance(control) < 1e-6 < 1e-4 < distance(poisoned)
    told = control.record.rounds[-1].attack_success
    assert told.control == "the same images without the trigger"
    assert 0 <= told.rate <= 1
    assert poisoned.record.rounds[-1].attack_success.control.endswith("the same attack with share=0")
