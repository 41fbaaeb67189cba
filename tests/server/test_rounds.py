"""What a round comes to: the next model, or everything as it was; what is measured of it, and what is written."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from small_study import LAYOUT, noting, weights

import server.rounds
from fedrobust.config import Experiment
from fedrobust.evaluation.metrics import NotFiniteError, measure
from fedrobust.evaluation.robustness import Robustness
from fedrobust.runs.checkpoint import Checkpoint
from fedrobust.runs.events import RoundFinished, RoundStarted
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import AttackSuccessRecord, DefenceRecord, MetricsRecord, ModelRecord, RoundRecord
from server.callbacks import FinishedRound
from server.errors import AttackFailedError, NumbersError, RoundError
from server.recorder import Recorder
from server.replies import Failure
from server.round_outcome import Aggregated, Made, RoundOutcome
from server.rounds import RoundLoop, round_record
from server.selection import Selection
from server.weight_average import WeightAverage

METRICS = measure([0, 1, 1], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
CLEAN = MetricsRecord.of(METRICS)
ROBUST = {"fgsm": {"0.01": CLEAN}}

OUTCOME = RoundOutcome(sampled=4, trained=3, failures=(), loss=0.5, client_seconds=1.5)


class Judge:
    """An evaluator that notes what it is asked.

    Args:
        error: raised where the test split is measured.
        fault: why models cannot be used.
        auc: of every model.
    """

    classifier = SimpleNamespace(layout=LAYOUT)

    def __init__(self, error=None, fault="", auc=0.75):
        self.error, self.found, self.auc, self.asked, self.judged = error, fault, auc, [], []

    def fault(self, weights):
        self.judged.append(weights)
        return self.found

    def test(self, weights, attacked=True):
        self.asked.append(("test", weights, attacked))
        if self.error:
            raise self.error
        return Robustness(METRICS, {"fgsm": {"0.01": METRICS}} if attacked else {})

    def validate(self, weights):
        self.asked.append(("validate", weights))
        return replace(METRICS, auc=self.auc)


class Clients:
    """A federation whose rounds come to `found`, or raise it.

    Args:
        found: what aggregation answers.
        seen: where what it is asked is noted.
    """

    layout = LAYOUT

    def __init__(self, found, seen=None):
        self.found, self.seen = found, [] if seen is None else seen
        self.sampling = self

    def sample(self, number):
        self.seen.append(("sample", number))
        return [0, 2, 5, 7]

    def replying(self, number, sampled):
        return sampled

    def messages(self, number, sent, sampled, memory):
        self.seen.append(("messages", number, sent, sampled, memory))
        return ["message"] * len(sampled)

    def trained_only(self, number, new, old):
        return new

    def aggregate(self, number, current, sampled, replies, memory):
        self.seen.append(("aggregate", number, current, sampled, list(replies), memory))
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def loop(
    federation=None, evaluator=None, recalibrate=None, callbacks=(), kind=RoundLoop, average=None, **settings
):
    """Return the round loop of a study."""
    study = Experiment.of(**settings)
    return kind(
        "grid",
        () if federation is None else (federation,),
        evaluator or Judge(),
        study.evaluation,
        Selection(study.evaluation),
        study.federation.rounds,
        study.federation.patience,
        study.engine.client_timeout,
        recalibrate,
        callbacks,
        average,
        study.federation.non_finite == "stop",
    )


def recorder(rounds=()) -> Recorder:
    """Return the record of a study after such rounds."""
    found = Recorder("study", Experiment.of().to_dict(), [])
    found.note(rounds=tuple(rounds), model=ModelRecord(selected_round=1))
    return found


# -- All rounds ----------------------------------------------------------------------------------------------------


def test_the_rounds_that_are_left_are_run_each_from_where_the_one_before_ended():
    seen = []

    class Counted(RoundLoop):
        def round(self, number, state, *given):
            seen.append((number, state.round, *given))
            return Checkpoint(number, weights(number), weights(100 + number), 0.5, "", {})

    state = Checkpoint(2, weights(2), weights(102), 0.5, "", {})
    notes = recorder()
    reached = loop(kind=Counted, federation__rounds=4).run(state, notes, "folder")
    assert seen == [(3, 2, notes, "folder"), (4, 3, notes, "folder")]
    assert (reached.round, reached.selected.digest()) == (4, weights(104).digest())


# -- What replies come to ------------------------------------------------------------------------------------------


BEFORE = Checkpoint(4, weights(7.0), weights(6.0), 0.5, "", {}, {"optimizer/velocity": np.full(2, 0.25)})
NEW = {"optimizer/velocity": np.full(2, 99.0)}


def made(next_weights, fault="", error=None, recalibrated=None, judged=""):
    """Return what is made of a round whose replies come to that, and what the evaluator was shown."""
    judge, seen = Judge(fault=judged), []
    measure = None if recalibrated is None else lambda given: recalibrated
    found = error or Aggregated(OUTCOME, next_weights, NEW, fault)
    result = loop(Clients(found, seen), judge, measure).made(5, BEFORE, [[0, 1]], ["reply"])
    assert seen == [("aggregate", 5, BEFORE.weights, [0, 1], ["reply"], BEFORE.memory)]
    assert result.outcomes == (OUTCOME,)
    return result, judge.judged


def test_a_sound_model_is_taken_over_with_what_is_remembered():
    found, seen = made(weights(8.0))
    assert (found.weights.digest(), found.memory, found.kept, found.failed) == (
        weights(8.0).digest(),
        NEW,
        "",
        False,
    )
    assert [shown.digest() for shown in seen] == [weights(8.0).digest()]


def test_it_is_the_recalibrated_model_that_is_judged_and_taken():
    found, seen = made(weights(8.0), recalibrated=weights(8.0, 3.0))
    assert found.weights.digest() == weights(8.0, 3.0).digest() == seen[0].digest()


@pytest.mark.parametrize(
    ("round", "why"),
    [
        ({"next_weights": weights(8.0), "fault": "too large"}, "round 5: too large"),
        ({"next_weights": weights(np.nan)}, "round 5: 2 of its weights are not finite"),
        ({"next_weights": weights(8.0, -1)}, "round 5: statistics: 1 of 1 moving variances are negative"),
        (
            {"next_weights": weights(8.0), "recalibrated": weights(8.0, np.nan)},
            "round 5: 1 of its statistics are not finite",
        ),
        (
            {"next_weights": weights(8.0), "recalibrated": weights(8.0, -1)},
            "round 5: statistics: 1 of 1 moving variances are negative",
        ),
        ({"next_weights": weights(8.0), "judged": "no numbers"}, "round 5: no numbers"),
        ({"next_weights": None, "fault": "round 5: nobody"}, "round 5: nobody"),
    ],
)
def test_otherwise_weights_and_memory_are_those_of_before(round, why):
    found, _ = made(**round)
    assert found.kept.partition(", the first in ")[0] == why
    assert found.weights is BEFORE.weights
    assert found.memory is BEFORE.memory
    assert found.failed == (round["next_weights"] is None)


def test_a_failed_attack_is_not_a_failed_round():
    with pytest.raises(AttackFailedError, match="client 2"):
        made(weights(8.0), error=AttackFailedError("client 2", OUTCOME))


# -- Failed rounds -------------------------------------------------------------------------------------------------


def stopped(folder, before, patience=3, rounds=9) -> str:
    """Return why a study stops after a failed round that comes after such (failed or not) rounds; "" if it goes on."""
    reasons = enumerate(before, start=1)
    record = recorder(
        RoundRecord(round=number, failed=bad, kept=f"round {number}: few" if bad else None)
        for number, bad in reasons
    )
    number = len(before) + 1
    entry = RoundRecord(round=number, failed=True, kept=f"round {number}: few")
    try:
        loop(federation__patience=patience, federation__rounds=rounds).stop_after_failures(
            record, RunFolder(folder), entry
        )
    except RoundError as error:
        assert record.run.rounds[-1] is entry
        assert json.loads((folder / "metrics.jsonl").read_text())["round"] == number
        return str(error)
    assert len(record.run.rounds) == len(before)
    return ""


@pytest.mark.parametrize(
    ("before", "patience", "rounds", "why"),
    [
        ([], 3, 9, ""),
        ([True], 3, 9, ""),
        ([True, True], 3, 9, "round 1: few; and no better in any round up to 3 (federation.patience = 3)"),
        ([True, True, False, True], 3, 9, ""),
        (
            [True, False, True, True],
            3,
            9,
            "round 3: few; and no better in any round up to 5 (federation.patience = 3)",
        ),
        ([], 1, 9, "round 1: few (federation.patience = 1)"),
        ([False, False], 1, 9, "round 3: few (federation.patience = 1)"),
        ([True], 3, 2, "round 1: few; and no better in any round up to 2 (federation.patience = 3)"),
        ([False], 3, 2, ""),
    ],
)
def test_how_many_failed_rounds_in_a_row_stop_a_study(tmp_path, before, patience, rounds, why):
    assert stopped(tmp_path, before, patience, rounds) == why


def test_rounds_of_earlier_versions_did_not_fail(tmp_path):
    record = recorder(map(RoundRecord.read, ({"round": 1, "kept": None}, {"round": 2, "kept": "unsound"})))
    entry = RoundRecord(round=3, failed=True, kept="few")
    loop().stop_after_failures(record, RunFolder(tmp_path), entry)
    assert len(record.run.rounds) == 2


def test_the_round_with_which_a_study_stops_is_noted(tmp_path, told):
    record, entry = recorder(), RoundRecord(round=3)
    loop().note_last(record, RunFolder(tmp_path), entry)
    assert record.run.rounds == (entry,)
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == entry.plain
    assert told == [RoundFinished(entry)]


# -- What is measured ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("every", "attack_every", "attacked"),
    [
        (1, 0, {1: True, 2: True, 3: True, 4: True, 5: True, 6: True, 7: True}),
        (3, 0, {3: True, 6: True, 7: True}),
        (3, 2, {3: False, 6: True, 7: True}),
        (2, 4, {2: False, 4: True, 6: False, 7: True}),
        (9, 9, {7: True}),
    ],
)
def test_which_rounds_are_measured_and_attacked(every, attack_every, attacked):
    settings = {"evaluation__every": every, "evaluation__attack_every": attack_every}
    for number in range(1, 8):
        judge = Judge()
        entry = loop(None, judge, federation__rounds=7, **settings).measured(number, "weights")
        if number not in attacked:
            assert (entry, judge.asked) == (RoundRecord(round=number), [])
            continue
        assert judge.asked == [("test", "weights", attacked[number])]
        assert entry == RoundRecord(round=number, clean=CLEAN, robust=ROBUST if attacked[number] else {})


def test_validation_chooses():
    judge = Judge()
    entry = loop(None, judge, evaluation__select="best").measured(1, "weights")
    assert [asked[0] for asked in judge.asked] == ["validate", "test"]
    assert entry.validation == replace(CLEAN, auc=0.75)


def test_callbacks_see_what_was_measured_and_add_to_it_in_their_order():
    seen = []

    def first(finished: FinishedRound):
        seen.append(finished)
        return {"pgd_probe": 0.25, "unmeasured": "first"}

    def second(finished: FinishedRound):
        seen.append(finished)
        return {"unmeasured": "second"}

    rounds = loop(callbacks=(first, second), evaluation__every=2, federation__rounds=3)
    added = {"pgd_probe": 0.25, "unmeasured": "second"}
    measured = RoundRecord(round=2, clean=CLEAN, robust=ROBUST)
    assert rounds.measured(2, "weights") == replace(measured, **added)
    assert rounds.measured(1, "weights") == RoundRecord(round=1, **added)
    assert [(each.number, each.weights, each.measured) for each in seen] == [
        *[(2, "weights", measured)] * 2,
        *[(1, "weights", None)] * 2,
    ]


def test_a_model_that_overflows_on_other_images_is_not_measured():
    seen = []
    judge = Judge(NotFiniteError("3 of 4 rows"))
    rounds = loop(
        None, judge, callbacks=(lambda finished: seen.append(finished) or {},), evaluation__select="best"
    )
    assert rounds.measured(1, "weights") == RoundRecord(round=1, unmeasured="3 of 4 rows")
    ((number, measured),) = [(each.number, each.measured) for each in seen]
    assert (number, measured) == (1, None), "callbacks are called all the same: one of them keeps models"


def test_the_entry_of_a_round(monkeypatch):
    monkeypatch.setattr(server.rounds, "time", SimpleNamespace(perf_counter=lambda: 12.5))
    defended = replace(OUTCOME, defence=DefenceRecord(rule="mean"))
    made = Made("weights", {}, (defended,), "too few", failed=True)
    assert round_record(6, made, 10.0) == RoundRecord(
        round=6,
        clients=OUTCOME.record(),
        defence=DefenceRecord(rule="mean"),
        kept="too few",
        failed=True,
        seconds=2.5,
    )
    measured = RoundRecord(round=1, clean=CLEAN)
    assert round_record(1, Made("weights", {}, (OUTCOME,)), 12.0, measured) == RoundRecord(
        round=1, clean=CLEAN, clients=OUTCOME.record(), seconds=0.5
    )


# -- One round -----------------------------------------------------------------------------------------------------


SUCCESS = AttackSuccessRecord(n=2, successes=1, rate=0.5)
MEMORY = {"m": np.full(1, 9.0)}


@pytest.fixture
def a_round(monkeypatch, tmp_path):
    """Return a function that runs round 3, whose replies come to `found`, with its parts and what they were handed."""

    def prepare(found, state=None, judge=None, callbacks=(), **settings):
        seen = []
        monkeypatch.setattr(server.rounds, "exchange", noting(seen, "exchange", ["replies"]))
        clock = SimpleNamespace(perf_counter=lambda: 12.0)
        monkeypatch.setattr(server.rounds, "time", clock)
        monkeypatch.setattr("server.recorder.time", clock)
        judge, record, folder = judge or Judge(), recorder(), RunFolder(tmp_path)
        record.started = 10.0
        state = state or Checkpoint(2, weights(2.0), weights(1.0), 0.5, "base", {}, {"m": np.ones(1)})
        rounds = loop(Clients(found, seen), judge, None, callbacks, federation__rounds=9, **settings)
        return SimpleNamespace(
            run=lambda: rounds.round(3, state, record, folder),
            state=state,
            seen=seen,
            judge=judge,
            recorder=record,
        )

    return prepare


def test_a_round_asks_trains_measures_and_is_saved_before_it_is_told(a_round, tmp_path, told):
    new = Aggregated(OUTCOME, weights(3.0), MEMORY)
    third = a_round(new, engine__client_timeout=7.0)
    reached = third.run()
    sampled, before = [0, 2, 5, 7], third.state
    assert third.seen == [
        ("sample", 3),
        ("messages", 3, before.weights, sampled, dict(before.memory)),
        ("exchange", "grid", ["message"] * 4, 7.0),
        ("aggregate", 3, before.weights, sampled, ["replies"], before.memory),
    ]
    assert third.judge.asked == [("test", new.weights, True)]
    entry = RoundRecord(
        round=3, clean=CLEAN, robust=ROBUST, clients=OUTCOME.record(), seconds=0.0, training_seconds=0.0
    )
    assert told == [RoundStarted(3, 4), RoundFinished(entry)]
    run = third.recorder.run
    assert run.rounds == (entry,)
    assert (tmp_path / "metrics.jsonl").read_text() == json.dumps(told[-1].record.plain) + "\n"
    assert (third.recorder.saved, run.seconds, run.model.selected_round) == (3, 2.0, 3)
    assert (reached.round, reached.score, reached.base, reached.memory) == (3, 3.0, "base", MEMORY)
    assert reached.weights is reached.selected is new.weights
    again = Checkpoint.latest(RunFolder(tmp_path))
    assert (again.round, again.weights.digest(), again.result["rounds"]) == (
        3,
        new.weights.digest(),
        [entry.plain],
    )


@pytest.mark.parametrize(
    ("auc", "best", "fault", "taken"),
    [(0.75, 0.5, "", True), (0.5, 0.5, "", True), (0.25, 0.5, "", False), (0.75, 0.5, "unsound", False)],
)
def test_the_best_sound_round_so_far_is_selected_and_of_equals_the_last(a_round, auc, best, fault, taken):
    new = Aggregated(OUTCOME, weights(3.0), MEMORY, fault)
    state = Checkpoint(2, weights(2.0), weights(1.0), best, "", {})
    third = a_round(new, state, Judge(auc=auc), evaluation__select="best")
    reached = third.run()
    assert reached.selected is (new.weights if taken else state.selected)
    assert reached.score == (auc if taken else best)
    assert third.recorder.run.model.selected_round == (3 if taken else 1)
    assert reached.weights is (state.weights if fault else new.weights)


def test_an_average_is_measured_and_kept_and_clients_go_on_from_the_weights(a_round):
    first = a_round(Aggregated(OUTCOME, weights(3.0), MEMORY), average=WeightAverage(0.5)).run()
    assert first.selected is first.weights
    state = replace(first, round=2, memory=first.memory)
    second = a_round(Aggregated(OUTCOME, weights(13.0), first.memory), state, average=WeightAverage(0.5))
    reached = second.run()
    assert reached.weights.digest() == weights(13.0).digest()
    np.testing.assert_allclose(reached.selected.trainable, 12.0)  # 3 + 0.9 * 10
    assert second.judge.asked == [("test", reached.selected, True)]
    rejected = a_round(Aggregated(OUTCOME, weights(99.0), {}, "unsound"), reached, average=WeightAverage(0.5))
    after = rejected.run()
    assert after.weights is reached.weights
    np.testing.assert_array_equal(rejected.judge.asked[0][1].trainable, reached.selected.trainable)


def test_a_study_stops_when_validation_has_not_improved_for_a_while(told, tmp_path):
    ran = []

    class Falling(RoundLoop):
        def round(self, number, state, notes, folder):
            ran.append(number)
            entry = RoundRecord(round=number, validation=replace(CLEAN, auc=[0.6, 0.7, 0.7, 0.5][number - 1]))
            notes.add_round(entry)
            return replace(state, round=number)

    rounds = loop(kind=Falling, federation__rounds=9, evaluation__select="best", evaluation__stop_after=2)
    start, notes = Checkpoint(0, weights(2), weights(2), 0.5, "", {}), recorder()
    reached = rounds.run(start, notes, "folder")
    assert ran == [1, 2, 3, 4]
    assert rounds.run(reached, notes, "folder") is reached, "resumed, it does not go on"
    assert told[0].stage == (
        "stopped after round 4 of 9: no better validation auc in 2 evaluations (evaluation.stop-after)"
    )


def test_a_study_waits_for_a_model_that_is_not_constant_under_attack(told):
    """Rounds 1 to 4 answer one class; from round 5 on nothing is better than its first model."""
    ran = []
    one_answer = replace(CLEAN, recall=(0.0, 1.0), predicted=(0, 9))

    class Waiting(RoundLoop):
        def round(self, number, state, notes, folder):
            ran.append(number)
            metrics, probe = (one_answer, 0.5) if number < 5 else (CLEAN, 0.3)
            notes.add_round(RoundRecord(round=number, validation=metrics, pgd_probe_balanced=probe))
            return replace(state, round=number)

    by = {"evaluation__select": "best", "evaluation__select_by": "robust-balanced-accuracy"}
    rounds = loop(kind=Waiting, federation__rounds=9, evaluation__stop_after=2, **by)
    start, notes = Checkpoint(0, weights(2), weights(2), -np.inf, "", {}), recorder()
    reached = rounds.run(start, notes, "folder")
    assert ran == [1, 2, 3, 4, 5, 6, 7]
    assert rounds.run(reached, notes, "folder") is reached


@pytest.mark.parametrize(
    ("defence", "success"),
    [(None, SUCCESS), (DefenceRecord(), SUCCESS), (DefenceRecord(valid=False), None)],
)
def test_an_attack_that_did_not_run_as_asked_has_no_success(a_round, defence, success):
    outcome = RoundOutcome(4, 4, (), 0.5, 1.0, defence)
    third = a_round(
        Aggregated(outcome, weights(3.0), MEMORY), callbacks=(lambda finished: {"attack_success": SUCCESS},)
    )
    third.run()
    assert third.recorder.run.rounds[0].attack_success == success


def test_a_failed_round_is_told_and_the_study_goes_on(a_round, told):
    third = a_round(Aggregated(OUTCOME, None, fault="round 3: nobody"))
    reached = third.run()
    (entry,) = third.recorder.run.rounds
    assert (entry.round, entry.failed, entry.kept) == (3, True, "round 3: nobody")
    assert third.judge.asked == [("test", third.state.weights, True)]
    assert third.recorder.run.model.selected_round == 1
    assert reached.selected is third.state.selected
    assert told[-1] == RoundFinished(entry)
    assert third.recorder.saved == 3


def test_a_failed_round_too_many_is_noted_and_not_saved(a_round, told):
    third = a_round(Aggregated(OUTCOME, None, fault="round 3: nobody"), federation__patience=1)
    with pytest.raises(RoundError, match=r"^round 3: nobody \(federation.patience = 1\)$"):
        third.run()
    (entry,) = third.recorder.run.rounds
    assert (entry.round, entry.failed) == (3, True)
    assert told == [RoundStarted(3, 4), RoundFinished(entry)]
    assert (third.recorder.saved, third.judge.asked) == (0, [])


def test_an_attack_that_fails_is_noted_and_raised(a_round, told):
    third = a_round(AttackFailedError("client 2: KeyError", OUTCOME))
    with pytest.raises(AttackFailedError):
        third.run()
    kept = Made(third.state.weights, third.state.memory, (OUTCOME,), "client 2: KeyError")
    entry = round_record(3, kept, 12.0)
    assert (entry.kept, entry.failed) == ("client 2: KeyError", False)
    assert third.recorder.run.rounds == (entry,)
    assert told == [RoundStarted(3, 4), RoundFinished(entry)]
    assert third.recorder.saved == 0


# -- Numbers that are not finite -----------------------------------------------------------------------------------

LEFT_OUT = replace(
    OUTCOME, failures=(Failure(5, "trainable has 1 numbers that are not finite", numbers=True),)
)
LATE = replace(OUTCOME, failures=(Failure(5, "no reply in time"),))


@pytest.mark.parametrize(
    ("found", "judge", "reason"),
    [
        (
            Aggregated(LEFT_OUT, weights(3.0), MEMORY),
            {},
            "round 3, client 5: trainable has 1 numbers that are not finite",
        ),
        (
            Aggregated(LEFT_OUT, None, fault="round 3: too few"),
            {},
            "round 3, client 5: trainable has 1 numbers that are not finite",
        ),
        (Aggregated(OUTCOME, weights(np.inf), MEMORY), {}, "round 3: 2 of its weights are not finite"),
        (Aggregated(OUTCOME, weights(3.0), MEMORY, "what is remembered"), {}, "round 3: what is remembered"),
        (Aggregated(OUTCOME, weights(3.0), MEMORY), {"fault": "its gradients"}, "round 3: its gradients"),
        (
            Aggregated(OUTCOME, weights(3.0), MEMORY),
            {"error": NotFiniteError("1 of 2 rows of logits hold NaN")},
            "round 3: 1 of 2 rows of logits hold NaN",
        ),
    ],
)
def test_numbers_that_are_not_finite_stop_a_study_that_asks_for_it(a_round, told, found, judge, reason):
    going_on = a_round(found, judge=Judge(**judge)).run()
    assert going_on.round == 3
    stopping = a_round(found, judge=Judge(**judge), federation__non_finite="stop", federation__patience=2)
    with pytest.raises(NumbersError) as stopped:
        stopping.run()
    assert str(stopped.value).startswith(reason)
    assert str(stopped.value).endswith('(federation.non-finite = "stop")')
    assert [one.round for one in stopping.recorder.run.rounds] == [3], "the round is in the record"
    assert stopping.recorder.saved == 0, "and a resumed run repeats it"


@pytest.mark.parametrize(
    "found", [Aggregated(LATE, weights(3.0), MEMORY), Aggregated(LATE, None, fault="few")]
)
def test_what_is_no_matter_of_numbers_stops_nothing(a_round, found):
    assert a_round(found, federation__non_finite="stop", federation__patience=2).run().round == 3
