"""What it costs to carry messages: echo clients under the threads engine, the Ray engine, and Flower's simulation.

    python echo.py --out echo.json

A ClientApp answers 1,000 messages of 0.1 MB, 100 of 9 MB, and 10 of 94 MB a round; it decodes every array and encodes
it again. It is written against Flower's public interface alone ("Flower's arrays"), or, in fedrobust's engines, as this
project's own clients are ("own arrays": see `fedrobust/flower/records.py`). A round ends when the server has
decoded every reply and, where it says "summed", added it to an exact sum. One round warms up, the median of three is
told. Flower's simulation is timed inside its ServerApp, after its workers are up.

Then the threads engine's overhead is timed by itself: encode, carry and decode, both ways, for 2.3 and 23.6 million
parameters.
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

os.environ.update(FLWR_TELEMETRY_ENABLED="0", RAY_DEDUP_LOGS="0", TF_CPP_MIN_LOG_LEVEL="3")

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from machine import write

from fedrobust.aggregation import RunningMean
from fedrobust.config import Engine, Experiment
from fedrobust.engines.exchange import exchange
from fedrobust.engines.grid import SimulatedGrid
from fedrobust.engines.threads import ThreadWorker
from fedrobust.flower.identity import server_identity
from fedrobust.flower.records import vector_of, weights_of, weights_record
from fedrobust.models.layout import Weights
from fedrobust.study import Study

SIZES = {"1,000 x 0.1 MB": (1000, 25_000), "100 x 9 MB": (100, 2_250_000), "10 x 94 MB": (10, 23_500_000)}
ROUNDS = 3
WORKERS = os.cpu_count() or 1


def messages(nodes: list[int], clients: int, numbers: int, round: int) -> list[Message]:
    """Return one message of `numbers` float32 to each of `clients` nodes."""
    values = np.random.default_rng(round).normal(size=numbers).astype(np.float32)
    content = RecordDict({"weights": ArrayRecord([values])})
    return [Message(content, node, MessageType.TRAIN, group_id=str(round)) for node in nodes[:clients]]


def carried(grid: Grid, clients: int, numbers: int, round: int, summed: bool) -> float:
    """Return the seconds of one round on an engine of this project."""
    sent = messages(list(grid.get_node_ids()), clients, numbers, round)
    mean = RunningMean(numbers)
    began = time.perf_counter()
    answered = 0
    for reply in exchange(grid, sent):
        vector = vector_of(reply.content.array_records["weights"]["0"])
        answered += 1
        if summed:
            mean.add(vector, 1)
    assert answered == clients
    if summed:
        mean.result()
    return time.perf_counter() - began


def timed(one_round: Callable[[int], float]) -> float:
    """Return the median seconds of `ROUNDS` rounds after one that warms up."""
    return statistics.median([one_round(number) for number in range(ROUNDS + 1)][1:])


@contextmanager
def threads(app: ClientApp, clients: int) -> Iterator[Grid]:
    """Start the threads engine."""
    with (
        server_identity(),
        SimulatedGrid(lambda _: ThreadWorker(app), {}, clients, WORKERS) as grid,
    ):
        yield grid


@contextmanager
def ray(app: str, clients: int) -> Iterator[Grid]:
    """Start the Ray engine."""
    from fedrobust.engines.ray_engine import ray_engine

    experiment = Experiment.quickstart(data__samples=50)
    config, settings = experiment.to_run_config(), Engine(name="ray", workers=WORKERS)
    with (
        server_identity(),
        ray_engine(settings, app, config, Study.of(experiment).dataset.digest) as cluster,
        SimulatedGrid(cluster.start_worker, config, clients, WORKERS) as grid,
    ):
        grid.ask_every_worker(MessageType.QUERY, RecordDict())
        yield grid


def ours(engine: str) -> list[dict[str, object]]:
    """Return a row for each kind of client and each size, with and without the sum."""
    import echo_app

    rows: list[dict[str, object]] = []
    for kind, whose in (("app", "Flower's arrays"), ("own_app", "own arrays")):
        started = (
            threads(getattr(echo_app, kind), 1000) if engine == "threads" else ray(f"echo_app:{kind}", 1000)
        )
        with started as grid:
            for name, (clients, numbers) in SIZES.items():
                for summed in (False, True):
                    seconds = timed(partial(carried, grid, clients, numbers, summed=summed))
                    what = f"fedrobust, {engine}, {whose}" + (", summed" if summed else "")
                    rows.append({"messages": name, "carrier": what, "seconds": seconds, "clients": clients})
    return rows


def flowers() -> list[dict[str, object]]:
    """Return a row for each size under Flower's simulation; it is started for each size anew."""
    rows: list[dict[str, object]] = []
    for name in SIZES:
        command = [sys.executable, __file__, "--flower", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
        said = [line for line in done.stdout.splitlines() if line.startswith('{"seconds"')]
        if done.returncode or not said:
            sys.exit(f"Flower's simulation failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        clients, _ = SIZES[name]
        rows.append({"messages": name, "carrier": "Flower", **json.loads(said[-1]), "clients": clients})
    return rows


def flower(name: str) -> None:
    """Run one size under Flower's simulation and print its seconds a round."""
    from echo_app import app
    from flwr.simulation import run_simulation

    logging.getLogger("flwr").setLevel(logging.ERROR)
    clients, numbers = SIZES[name]
    server = ServerApp()
    started = time.perf_counter()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        while len(list(grid.get_node_ids())) < clients:
            time.sleep(0.1)

        def one_round(round: int) -> float:
            sent = messages(list(grid.get_node_ids()), clients, numbers, round)
            began = time.perf_counter()
            replies = grid.send_and_receive(sent)
            decoded = sum(reply.content.array_records["weights"]["0"].numpy().size for reply in replies)
            assert decoded == clients * numbers
            return time.perf_counter() - began

        first = one_round(0)
        ready = time.perf_counter() - started - first
        seconds = statistics.median(one_round(number) for number in range(1, ROUNDS + 1))
        print(json.dumps({"seconds": seconds, "start-seconds": ready, "first-round": first}), flush=True)

    sys.path.insert(0, str(Path(__file__).parent))
    os.environ["PYTHONPATH"] = str(Path(__file__).parent) + os.pathsep + os.environ.get("PYTHONPATH", "")
    run_simulation(
        server,
        app,
        num_supernodes=clients,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"num_cpus": WORKERS},
        },
    )


def overhead(parameters: int) -> dict[str, object]:
    """Return milliseconds a message for weights as this project's clients carry them, both ways."""
    app, clients = ClientApp(), 40

    @app.train()
    def train(message: Message, context: Context) -> Message:
        weights = weights_of(message.content.array_records["weights"])
        # What training leaves behind: fresh arrays.
        trained = Weights(weights.trainable + np.float32(1), weights.statistics.copy())
        return Message(RecordDict({"weights": weights_record(trained)}), reply_to=message)

    start = Weights(np.zeros(parameters, np.float32), np.zeros(1000, np.float32))
    began = time.perf_counter()
    for _ in range(clients):
        np.asarray(start.trainable + np.float32(1)).sum()
    client_seconds = time.perf_counter() - began

    def one_round(round: int) -> float:
        content = RecordDict({"weights": weights_record(start)})
        sent = [Message(content, node, MessageType.TRAIN, group_id="1") for node in range(1, clients + 1)]
        began = time.perf_counter()
        for reply in exchange(grid, sent):
            weights_of(reply.content.array_records["weights"]).trainable.sum()
        return time.perf_counter() - began

    with threads(app, clients) as grid:
        seconds = timed(one_round)
    return {
        "parameters": parameters,
        "ms-a-message": 1000 * seconds / clients,
        "of-it-the-clients-own-arithmetic": 1000 * client_seconds / clients,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("echo.json"))
    parser.add_argument("--without-flower", action="store_true")
    parser.add_argument("--flower", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flower:
        flower(options.flower)
        return
    os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="ray-")
    rows = ours("threads") + ours("ray")
    if not options.without_flower:
        rows += flowers()
    for row in sorted(rows, key=lambda row: list(SIZES).index(str(row["messages"]))):
        each = 1000 * float(str(row["seconds"])) / int(str(row["clients"]))
        print(
            f"{row['messages']:>16}  {row['carrier']:<46} {row['seconds']:7.2f} s a round  {each:7.1f} ms each"
        )
    costs = [overhead(parameters) for parameters in (2_300_000, 23_600_000)]
    for cost in costs:
        print(json.dumps(cost))
    write(options.out, rounds=rows, overhead=costs)


if __name__ == "__main__":
    main()
