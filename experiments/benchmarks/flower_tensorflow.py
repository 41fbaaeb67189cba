"""The opponent: BreastMNIST over ten clients the way Flower's TensorFlow example is written, in Flower's simulation.

    python flower_tensorflow.py {rebuild | cached} ROUNDS

`rebuild` clears the session, builds and compiles the model and loads the data for every message, as the example does;
`cached` keeps one compiled model and the data in each Ray actor.
"""

import logging
import os
import sys
import time
from functools import cache

os.environ.update(FLWR_TELEMETRY_ENABLED="0", RAY_DEDUP_LOGS="0", TF_CPP_MIN_LOG_LEVEL="3")

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

CLIENTS = 10
MODE = os.environ.get("BENCHMARK_MODE", "rebuild")
ROUNDS = int(os.environ.get("BENCHMARK_ROUNDS", "3"))


def load_model():
    import keras

    inputs = keras.Input((28, 28, 1))
    x = keras.layers.Concatenate()([inputs, inputs, inputs])
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(x)
    x = keras.ops.image.resize(x, (32, 32))
    backbone = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg"
    )
    model = keras.Model(inputs, keras.layers.Dense(2)(backbone(x)))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def load_data(partition: int):
    from fedrobust.data.load import load

    train = load("breastmnist").train
    rows = np.array_split(np.random.default_rng(0).permutation(len(train.labels)), CLIENTS)[partition]
    return train.images[rows].astype(np.float32), train.labels[rows]


cached_model, cached_data = cache(load_model), cache(load_data)

client = ClientApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    partition = int(context.node_config["partition-id"])
    if MODE == "rebuild":
        import keras

        keras.backend.clear_session()
        model, (images, labels) = load_model(), load_data(partition)
    else:
        model, (images, labels) = cached_model(), cached_data(partition)
    model.set_weights(message.content.array_records["arrays"].to_numpy_ndarrays())
    history = model.fit(images, labels, epochs=1, batch_size=32, verbose=0)
    metrics = MetricRecord({"num-examples": len(labels), "loss": history.history["loss"][-1]})
    record = RecordDict({"arrays": ArrayRecord(model.get_weights()), "metrics": metrics})
    return Message(record, reply_to=message)


server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    from fedrobust.data.load import load

    model = load_model()
    strategy = FedAvg(fraction_train=1.0, fraction_evaluate=0.0)
    result = strategy.start(
        grid, ArrayRecord(model.get_weights()), num_rounds=ROUNDS, train_config=ConfigRecord()
    )
    model.set_weights(result.arrays.to_numpy_ndarrays())
    test = load("breastmnist").test
    loss, accuracy = model.evaluate(test.images.astype(np.float32), test.labels, verbose=0)
    print(f"accuracy {accuracy:.4f} loss {loss:.4f}", flush=True)


if __name__ == "__main__":
    MODE, ROUNDS = sys.argv[1], int(sys.argv[2])
    os.environ.update(BENCHMARK_MODE=MODE, BENCHMARK_ROUNDS=str(ROUNDS))
    # Ray actors import the client from this file's module: functions of __main__ would be rebuilt for every message.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    os.environ["PYTHONPATH"] = sys.path[0] + os.pathsep + os.environ.get("PYTHONPATH", "")
    logging.getLogger("flwr").setLevel(logging.ERROR)
    import flower_tensorflow

    started = time.perf_counter()
    run_simulation(
        flower_tensorflow.server,
        flower_tensorflow.client,
        num_supernodes=CLIENTS,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"num_cpus": os.cpu_count() or 1},
        },
    )
    print(f"seconds {time.perf_counter() - started:.1f}", flush=True)
