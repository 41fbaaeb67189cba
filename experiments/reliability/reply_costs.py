"""What a malformed reply costs the server, beside an honest one: seconds and memory.

    python experiments/reliability/reply_costs.py --replies 5000

Replies as a client's code returns them (`malformed.py`), for a network of 92,000 parameters. Each is read as engines
do, three times; the least time counts, because a busy machine only adds to it. The memory is the largest that Python
allocated while it was read.
"""

import argparse
import json
import time
import tracemalloc
from typing import Any

import malformed
import numpy as np
from flwr.app import Message, MessageType, RecordDict
from malformed import honest_content, hostile_object

from fedrobust.flower.guard import described, failed_reply, plain_reply
from fedrobust.flower.identity import server_identity
from fedrobust.models.layout import Entry, Layout
from server.replies import Failure, Reply, read_reply

LAYOUT = Layout((Entry("kernel", (92_000,), "trainable"), Entry("mean", (20,), "statistic")))


def read(answer: Any, asked: Message) -> Reply | Failure:
    """Return what the server makes of a client's return value, or of what it raised."""
    try:
        if isinstance(answer, BaseException):
            raise answer
        reply = plain_reply(answer, asked)
    except BaseException as error:
        reply = failed_reply(asked, described(error))
    return read_reply(reply, 0, LAYOUT, 1)


def cost(make: Any, asked: Message) -> tuple[float, float]:
    """Return seconds and bytes of reading what `make` returns."""
    seconds = []
    for _ in range(3):
        answer = make()
        began = time.perf_counter()
        read(answer, asked)
        seconds.append(time.perf_counter() - began)
    answer = make()
    tracemalloc.start()
    read(answer, asked)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return min(seconds), float(peak)


def measure(replies: int) -> dict[str, Any]:
    """Return the costs of honest and of malformed replies, and their ratios."""
    malformed.LAYOUT = LAYOUT
    with server_identity():
        asked = Message(RecordDict(), 1, MessageType.TRAIN, group_id="1")
        asked.metadata.__dict__["_message_id"] = "message-00000009"

        def good() -> Message:
            return Message(honest_content(1.0, 1), reply_to=asked)

        honest = np.array([cost(good, asked) for _ in range(50)])
        hostile = np.array(
            [
                cost(lambda seed=seed: hostile_object(np.random.default_rng([2, seed]), asked), asked)
                for seed in range(replies)
            ]
        )
    median = float(np.median(honest[:, 0]))
    ratios = hostile[:, 0] / median
    return {
        "malformed": replies,
        "honest, ms": round(1e3 * median, 3),
        "times an honest reply's: mean": round(float(ratios.mean()), 2),
        "99 %": round(float(np.quantile(ratios, 0.99)), 1),
        "largest": round(float(ratios.max()), 1),
        "honest, kB": round(float(np.median(honest[:, 1])) / 1e3),
        "malformed, kB: median": round(float(np.median(hostile[:, 1])) / 1e3),
        "largest kB": round(float(hostile[:, 1].max()) / 1e3),
        "costliest seeds": [int(seed) for seed in np.argsort(ratios)[-5:]],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replies", type=int, default=5000)
    print(json.dumps(measure(parser.parse_args().replies), indent=1))
