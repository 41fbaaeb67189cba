"""The round loop, with the rollback of rejected rounds."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from flwr.app import Message
from flwr.serverapp import Grid

from fedrobust.config.sections import Evaluation
from fedrobust.engines.exchange import exchange
from fedrobust.engines.grid import SimulatedGrid
from fedrobust.evaluation.metrics import NotFiniteError
from fedrobust.models.layout import Weights
from fedrobust.runs.checkpoint import Checkpoint
from fedrobust.runs.events import RoundStarted, StageStarted, emit
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import EvaluationRecord, MetricsRecord, ModelRoundRecord, RoundRecord
from server.callbacks import Callback, FinishedRound
from server.errors import AttackFailedError, NumbersError, RoundError
from server.federation import Federation
from server.global_models import GlobalModels, shared_out
from server.recorder import Recorder
from server.round_outcome import Aggregated, Made, together, unsound_client
from server.selection import Selection
from server.soundness import weights_fault
from server.stages.evaluation import Evaluator
from server.weight_average import WeightAverage


@dataclass(frozen=True, eq=False)
class RoundLoop:
    """The rounds of a study.

    A study has one global model, or several that are evaluated as one, each with its own federation of clients.

    Attributes:
        grid: delivers messages to the clients.
        federations: the federation of each global model.
        evaluator: of the global model.
        settings: of ``[evaluation]``: the evaluated rounds.
        selection: selects the round whose model is kept.
        rounds: number of rounds.
        patience: failed rounds in a row that stop the study.
        timeout: most seconds of a client; 0: no limit.
        recalibrate: recalibrates BatchNorm statistics; None: those of the clients are used.
        callbacks: called after every round.
        average: moving average of the weights; None: each round's weights are evaluated.
        stops_at_numbers: whether the study ends at the first numbers that are not finite.
    """

    grid: Grid
    federations: tuple[Federation, ...]
    evaluator: Evaluator
    settings: Evaluation
    selection: Selection
    rounds: int
    patience: int
    timeout: float = 0.0
    recalibrate: Callable[[Weights], Weights] | None = None
    callbacks: Sequence[Callback] = field(default_factory=tuple)
    average: WeightAverage | None = None
    stops_at_numbers: bool = False

    @property
    def models(self) -> GlobalModels:
        """The concatenation of the global models in the evaluated vectors."""
        return GlobalModels(tuple(federation.layout for federation in self.federations))

    def run(self, state: Checkpoint, recorder: Recorder, folder: RunFolder) -> Checkpoint:
        """Run the rounds after `state`, and return the last state; stop early if the study says so."""
        scores = self.selection.scores(recorder.rounds())
        for number in range(state.round + 1, self.rounds + 1):
            if why := self.selection.exhausted(scores):
                emit(StageStarted(f"stopped after round {state.round} of {self.rounds}: {why}"))
                break
            state = self.round(number, state, recorder, folder)
            scores += self.selection.scores(islice(recorder.latest_first(), 1), waiting=bool(scores))
        return state

    def round(self, number: int, state: Checkpoint, recorder: Recorder, folder: RunFolder) -> Checkpoint:
        """Run one round from `state`, and return the next state.

        A round whose model is unusable is rejected: weights, statistics, and the state of rules and server optimiser
        are unchanged. The record says so, and the study continues: no update may end it.

        A round without a model, because there are too few valid replies, has failed. A single failed round may be due
        to chance or to attackers, who must not be able to stop a study; but a study without any further model must not
        continue unnoticed. Therefore ``federation.patience`` failed rounds in a row, or all rounds of a shorter study,
        stop it. This does not depend on whether the study has attackers.

        Raises:
            RoundError: too many rounds in a row failed. The last one has no checkpoint: a resumed run repeats it.
            AttackFailedError: an attack failed.
            NumbersError: numbers are not finite, and ``federation.non-finite`` is "stop"; without a checkpoint, too.
        """
        began = time.perf_counter()
        sampled = [federation.sampling.sample(number) for federation in self.federations]
        each = zip(self.federations, self.models.split(state.weights), sampled, strict=True)
        messages = [
            message
            for model, (one, weights, asked) in enumerate(each)
            for message in one.messages(number, weights, asked, self.models.memory_of(state.memory, model))
        ]
        asked = [
            one.sampling.replying(number, those) for one, those in zip(self.federations, sampled, strict=True)
        ]
        emit(RoundStarted(number, sum(map(len, asked))))
        replies = exchange(self.grid, messages, self.timeout)
        try:
            made = self.made(number, state, sampled, replies)
        except AttackFailedError as error:
            made = Made(state.weights, state.memory, (error.outcome,), str(error))
            self.note_last(recorder, folder, round_record(number, made, began))
            raise
        if made.unsound and self.stops_at_numbers:
            self.note_last(recorder, folder, round_record(number, made, began))
            raise NumbersError(f'{made.unsound} (federation.non-finite = "stop")')
        if made.failed:
            self.stop_after_failures(recorder, folder, round_record(number, made, began))
        training_seconds = time.perf_counter() - began
        made = self.averaged(made, number)
        model = made.model or made.weights
        entry = round_record(number, made, began, self.measured(number, model))
        if entry.unmeasured and self.stops_at_numbers:
            self.note_last(recorder, folder, entry)
            raise NumbersError(f'round {number}: {entry.unmeasured} (federation.non-finite = "stop")')
        entry = replace(
            entry,
            attack_success=entry.attack_success if entry.valid else None,
            training_seconds=training_seconds,
        )
        score, selected, best = self.selection.score(entry), state.selected, state.score
        if not made.kept and score >= best:
            selected, best = model, score
            recorder.note_model(selected_round=number)
        recorder.add_round(entry)
        clients = self.grid.client_states() if isinstance(self.grid, SimulatedGrid) else {}
        result, mark = recorder.run.to_json(), recorder.mark
        reached = Checkpoint(
            number, made.weights, selected, best, state.base, result, made.memory, clients, mark
        )
        # The checkpoint comes before the report: a reported round is not run again.
        reached.save(folder)
        recorder.saved = number
        recorder.tell_round(folder, entry)
        return reached

    def made(
        self,
        number: int,
        state: Checkpoint,
        sampled: Sequence[Sequence[int]],
        replies: Iterable[Message],
    ) -> Made:
        """Return the result of a round's replies: a usable new model, or the previous one with the reason.

        Of several global models, one without a new version is unchanged.

        Raises:
            AttackFailedError: an attack failed.
        """
        models, before = self.models, self.models.split(state.weights)
        shares = shared_out(replies, self._trained_by, len(self.federations))
        found: list[Aggregated] = []
        for model, (federation, current, asked, its) in enumerate(
            zip(self.federations, before, sampled, shares, strict=True)
        ):
            memory = models.memory_of(state.memory, model)
            found.append(federation.aggregate(number, current, asked, its, memory))
        outcomes = tuple(one.outcome for one in found)
        unsound = unsound_client(number, outcomes)
        faults = [
            one.fault if one.weights is None else one.fault or weights_fault(one.weights, layout)
            for one, layout in zip(found, models.layouts, strict=True)
        ]
        if all(faults):
            failed = all(one.weights is None for one in found)
            kept = faults[0] if failed else f"round {number}: {faults[0]}"
            return Made(
                state.weights, state.memory, outcomes, kept, failed, unsound or ("" if failed else kept)
            )
        fault = next((fault for one, fault in zip(found, faults, strict=True) if fault and one.weights), "")
        unsound = unsound or (fault and f"round {number}: {fault}")
        weights = models.joined(
            [
                old if fault else one.weights or old
                for one, old, fault in zip(found, before, faults, strict=True)
            ]
        )
        if fault := self.unusable(weights := self.recalibrated(weights, number)):
            kept = f"round {number}: {fault}"
            return Made(state.weights, state.memory, outcomes, kept, unsound=unsound or kept)
        memories = [
            models.memory_of(state.memory, model) if fault else one.memory
            for model, (one, fault) in enumerate(zip(found, faults, strict=True))
        ]
        return Made(weights, models.joined_memory(memories), outcomes, unsound=unsound)

    def recalibrated(self, weights: Weights, number: int) -> Weights:
        """Return `weights` with recalibrated BatchNorm statistics, if the study recalibrates.

        Statistics of layers that are frozen in round `number` are unchanged.
        """
        if self.recalibrate is None:
            return weights
        measured = self.models.split(self.recalibrate(weights))
        kept = zip(self.federations, measured, self.models.split(weights), strict=True)
        return self.models.joined([one.trained_only(number, new, old) for one, new, old in kept])

    def averaged(self, made: Made, number: int) -> Made:
        """Return `made` with the moving average as its model, if the study has one."""
        if self.average is None:
            return made
        if made.kept:
            return replace(made, model=self.average.of(made.memory, made.weights))
        average, memory = self.average.after(made.weights, made.memory)
        return replace(made, model=self.recalibrated(average, number), memory=memory)

    def unusable(self, weights: Weights) -> str:
        """Return why `weights` are unusable for the next model, "" if they are usable."""
        return weights_fault(weights, self.evaluator.classifier.layout) or self.evaluator.fault(weights)

    def _trained_by(self, reply: Message) -> int:
        """Return the global model that the sender of a reply trains, -1 if none."""
        node = reply.metadata.src_node_id
        known = (federation.registry.knows(node) for federation in self.federations)
        return next((model for model, is_its in enumerate(known) if is_its), -1)

    def stop_after_failures(self, recorder: Recorder, folder: RunFolder, entry: RoundRecord) -> None:
        """Stop the study after ``federation.patience`` failed rounds in a row.

        Raises:
            RoundError: `entry` is the last of them; the message has the reason of the first.
        """
        row = [entry]
        for before in recorder.latest_first():
            if not before.failed:
                break
            row.append(before)
        if len(row) < min(self.patience, self.rounds):
            return
        self.note_last(recorder, folder, entry)
        more = "" if len(row) == 1 else f"; and no better in any round up to {entry.round}"
        raise RoundError(f"{row[-1].kept}{more} (federation.patience = {self.patience})")

    def note_last(self, recorder: Recorder, folder: RunFolder, entry: RoundRecord) -> None:
        """Record the round with which the study stops."""
        recorder.note(rounds=(*recorder.run.rounds, entry))
        recorder.tell_round(folder, entry)

    def measured(self, number: int, weights: Weights) -> RoundRecord:
        """Return the part of the record of round `number` about its model; see `evaluated`."""
        record = RoundRecord(round=number)
        try:
            record = self.evaluated(record, weights)
        except NotFiniteError as error:  # weights may pass `Evaluator.fault` and overflow on other images
            record = replace(record, unmeasured=str(error))
        finished = FinishedRound(number, weights, None if record.clean is None else record)
        for callback in self.callbacks:
            record = replace(record, **callback(finished))
        return record

    def evaluated(self, record: RoundRecord, weights: Weights) -> RoundRecord:
        """Return `record` with the metrics, every ``evaluation.every`` rounds and after the last."""
        settings, number = self.settings, record.round
        last = number == self.rounds
        if number % settings.every and not last:
            return record
        attacked = last or not settings.attack_every or number % settings.attack_every == 0
        if self.selection.validates:
            record = replace(record, validation=MetricsRecord.of(self.evaluator.validate(weights)))
        found = EvaluationRecord.of(self.evaluator.test(weights, attacked))
        return replace(record, clean=found.clean, robust=found.robust)


def round_record(number: int, made: Made, began: float, measured: RoundRecord | None = None) -> RoundRecord:
    """Return the entry of one round in ``result.json``; `models` has the parts of several global models."""
    parts = tuple(ModelRoundRecord(clients=one.record(), defence=one.defence) for one in made.outcomes)
    whole = parts[0] if len(parts) == 1 else ModelRoundRecord(clients=together(made.outcomes).record())
    return replace(
        measured or RoundRecord(round=number),
        clients=whole.clients,
        defence=whole.defence,
        models=None if len(parts) == 1 else parts,
        kept=made.kept or None,
        failed=made.failed,
        clip_norm=float(norm) if (norm := made.memory.get("privacy/clip")) is not None else None,
        seconds=time.perf_counter() - began,
    )
