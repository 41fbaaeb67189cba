"""What the golden check runs: members of families on seeded arrays, and tiny studies, each as plain data.

A case takes an empty folder and returns what came out of it, ready for JSON. The figures of arrays stand beside their
digests, so that processors whose floats differ in the last bits can be compared, too.
"""

import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from comparison import ARRAYS, ATTACKS, AUDITS, STUDIES, Tolerance
from linear_answers import LinearAnswers

import fedrobust
from fedrobust.aggregation import (
    PRE_AGGREGATORS,
    RULES,
    SERVER_OPTIMIZERS,
    AggregationContext,
    Updates,
    defence,
)
from fedrobust.data.dataset import Split
from fedrobust.data.partition import PARTITIONS, partition
from fedrobust.models.layout import Entry, Layout
from fedrobust.poisoning import (
    POISONING,
    Attack,
    AttackContext,
    AttackerTools,
    AttackMemory,
    CollusionContext,
)
from fedrobust.spec import build, settings_of

TINY = {
    "data__samples": 200,
    "federation__clients": 4,
    "federation__rounds": 2,
    "training__batch_size": 16,
    "evaluation__epsilons": [0.005, "8/255"],
    "evaluation__examples": 2,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "engine__workers": 2,
    "output__report": False,
}

SWEEP = """
name = "tiny"
seed = [0, 1]
[data]
samples = 150
[model]
name = "edge-cnn"
image-size = 28
[federation]
clients = 4
rounds = 1
aggregator = ["mean", "trimmed-mean"]
[poisoning]
attack = "sign-flip"
malicious = 1
[evaluation]
epsilons = [0.005]
examples = 0
[audit]
enabled = false
[distillation]
enabled = false
[export]
enabled = false
"""


def rules(folder: Path) -> Any:
    """Every aggregation rule, every pre-aggregator before a rule, and two rounds of every server optimiser."""
    matrix = _updates(13)
    shapes = {
        "conv/kernel": (3, 3, 2, 10),
        "conv/bias": (15,),
        "logits/kernel": (20, 5),
        "logits/bias": (5,),
    }
    names = ("norm/moving_mean", "norm/moving_variance")
    layout = Layout(
        tuple(Entry(path, shape, "trainable") for path, shape in shapes.items())
        + tuple(Entry(name, (10,), "statistic") for name in names)
    )
    statistics = np.abs(matrix[:, :20])
    defences = [(rule, ()) for rule in RULES] + [("trimmed-mean", (before,)) for before in PRE_AGGREGATORS]
    aggregated = {}
    for rule, before in defences:
        memory: Mapping[str, np.ndarray] = {}
        made = []
        for number in (1, 2):
            context = AggregationContext(
                np.arange(13),
                np.arange(10, 23),
                round=number,
                generator=np.random.default_rng(number),
                memory=memory,
                current=np.linspace(-1, 1, matrix.shape[1], dtype=np.float32),
                root=lambda images: matrix[:5].mean(0),
                losses=np.linspace(1, 2, 13),
                layout=layout,
                statistics=statistics,
                current_statistics=statistics[0],
                model=LinearAnswers(5, matrix[0]),
            )
            result = defence(rule, *before, f=2)(matrix * np.float32(number), context)
            memory = result.memory
            made.append(
                {
                    "update": array(result.update),
                    "influence": None if result.influence is None else array(result.influence),
                    "memory": {name: array(value) for name, value in sorted(memory.items())},
                }
            )
        aggregated[" > ".join([*before, rule])] = made
    return {"aggregated": aggregated, "stepped": {name: _stepped(name, matrix) for name in SERVER_OPTIMIZERS}}


def _stepped(name: str, matrix: np.ndarray) -> Any:
    optimizer = build(SERVER_OPTIMIZERS, name)
    first, memory = optimizer(matrix[0], {}, 1)
    second, _ = optimizer(matrix[1], memory, 2)
    return [array(first), array(second)]


def attacks_on_learning(folder: Path) -> Any:
    """Every poisoning attack: what malicious clients train on, send and claim, alone and together."""
    matrix, draw = _updates(9), np.random.default_rng(2)
    split = Split(draw.integers(0, 256, (60, 28, 28, 1), np.uint8), draw.integers(0, 3, 60).astype(np.int32))
    found: dict[str, Any] = {}
    for name in POISONING:
        attack = Attack.parse(name)
        traits: dict[str, Any] = {
            "claim": attack.claim(10),
            "training": dict(attack.training(_attack_context())),
        }
        images, labels = attack.data(split.images, split.labels, _prepared(attack, split))
        traits["data"] = [array(images), array(labels)]
        traits["update"] = array(attack.update(matrix[0], _prepared(attack, split)))
        traits["statistics"] = array(attack.statistics(matrix[1, :8], _attack_context()))
        criterion = attack.criterion(split, _prepared(attack, split))
        traits["goal"] = (
            None if criterion is None else [array(criterion.images), array(criterion.target_labels)]
        )
        traits["collude"] = array(_together(attack, matrix)) if attack.colludes else None
        found[name] = traits
    return found


def _together(attack: Attack, honest: np.ndarray) -> np.ndarray:
    median = defence("median")

    def outcome(sent: np.ndarray) -> np.ndarray:
        return median(np.concatenate([np.broadcast_to(sent, (3, honest.shape[1])), honest])).update

    own = Updates.of(honest[:3])
    return attack.collude(Updates.of(honest), CollusionContext(own, 12, 3, np.random.default_rng(0), outcome))


def _prepared(attack: Attack, split: Split) -> AttackContext:
    """Return the context of a round in which the attack remembers another one, with a linear model of its images."""
    kernel = np.linspace(-1, 1, 784 * 3, dtype=np.float32).reshape(3, 784).T

    def gradients(weights: Any, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return (kernel.sum(1) - 3 * kernel.T[labels]).reshape(images.shape)

    tools = AttackerTools(
        split,
        split,
        lambda start, seen, **how: start,
        lambda weights, images: images.reshape(len(images), -1) / 255.0 @ kernel,
        gradients,
    )
    memory = AttackMemory(1, np.zeros(300, np.float32), np.linspace(1, 2, 300, dtype=np.float32))
    layout = Layout((Entry("dense/kernel", (30, 10), "trainable"),))
    return attack.prepared(replace(_attack_context(), tools=tools, memory=memory, layout=layout))


def _attack_context() -> AttackContext:
    return AttackContext(
        client_id=2,
        rank=1,
        malicious=3,
        clients=12,
        classes=3,
        round=2,
        seed=7,
        fixed=np.random.default_rng(3),
        generator=np.random.default_rng(4),
        current=np.linspace(-1, 1, 300, dtype=np.float32),
        statistics=np.linspace(0.5, 1, 8, dtype=np.float32),
        variances=np.arange(4, 8),
        perturb=lambda images, labels, **how: images ^ (1 + labels[:, None, None, None] % 2).astype(np.uint8),
    )


def partitions(folder: Path) -> Any:
    """Every division of the training images among clients."""
    labels = np.random.default_rng(5).choice(3, 300, p=[0.5, 0.3, 0.2])
    divided = {
        method: [
            partition(labels, 8, method, seed=seed, **settings)
            for seed in (0, 1)
            for settings in _settings(method)
        ]
        for method in PARTITIONS
        if method != "site"  # nothing is drawn
    }
    return {
        method: [{"hash": one.hash, "sizes": one.sizes.tolist()} for one in several]
        for method, several in divided.items()
    }


def _settings(method: str) -> list[dict[str, Any]]:
    known = settings_of(PARTITIONS[method]) or {}
    every = {
        "alpha": 0.3,
        "min_size": 4,
        "classes_per_client": 2,
        "shards_per_client": 2,
        "images_per_client": 20,
        "skew": "linear",
    }
    common = {name: value for name, value in every.items() if name in known}
    if method == "quantity":
        return [common, {**common, "skew": "square"}]
    return [common, {**common, "alpha": 5.0}] if method in ("dirichlet", "draw") else [common]


def attacks_on_models(folder: Path) -> Any:
    """Every evasion attack on a linear model, in every norm in which it searches."""
    import tensorflow as tf

    from fedrobust.evasion import ATTACKS, BoundModel, CompiledModel, Threat, attack, attack_named

    draw = np.random.default_rng(0)
    kernel, images = draw.normal(size=(36, 3)), (0.35 + 0.3 * draw.random((12, 6, 6, 1))).astype(np.float32)
    bias = draw.normal(size=3) - kernel.sum(0) / 2
    labels = (images.reshape(12, 36).astype(np.float64) @ kernel + bias).argmax(1).astype(np.int32)
    compiled = CompiledModel(
        lambda weights, given: tf.reshape(given, [-1, 36]) @ weights[0] + weights[1],
        [tf.TensorSpec((36, 3)), tf.TensorSpec((3,))],
        (6, 6, 1),
        3,
    )
    target = BoundModel(compiled, tuple(tf.constant(part, tf.float32) for part in (kernel, bias)))
    found: dict[str, Any] = {}
    # A surrogate of "transfer" is a network to be trained: what is left of it in a linear world says nothing.
    for name in (name for name in ATTACKS if name != "transfer"):
        spec = FEWER_STEPS.get(name, name)
        for norm in attack_named(spec).norms:
            threat, epsilons = Threat(norm=norm), [1, 3] if norm == "l0" else [0.01, 0.04]
            done = attack(target, images, labels, spec, threat, epsilons)
            found[f"{name} {norm}"] = {
                "success": done.success.astype(int).tolist(),
                "images": array(done.images),
                "logits": array(done.logits),
                "queries": done.queries.tolist(),
                "gradients": done.gradients.tolist(),
            }
    return found


FEWER_STEPS = {
    "square": "square(queries=20)",
    "ensemble": "ensemble(steps=4, queries=10, targets=2)",
    "noise": "noise(draws=5)",
    "radial-probes": "radial-probes(radii=2)",
    "rays": "rays(queries=30)",
    "hop-skip-jump": "hop-skip-jump(queries=60, directions=10)",
    "spsa": "spsa(steps=3, directions=4)",
    "smoothed-pgd": "smoothed-pgd(steps=3, copies=2)",
    "pgd": "pgd(steps=5)",
    "apgd-ce": "apgd-ce(steps=8)",
    "apgd-dlr": "apgd-dlr(steps=8)",
    "apgd-t": "apgd-t(steps=8, targets=2)",
    "apgd-focused": "apgd-focused(steps=8, restarts=2)",
    "carlini-wagner": "carlini-wagner(steps=10, searches=2)",
    "lbfgs": "lbfgs(steps=6, searches=2)",
    "deepfool": "deepfool(steps=4)",
    "fab": "fab(steps=4)",
    "fab-t": "fab-t(steps=4, targets=2)",
    "fmn": "fmn(steps=10)",
    "sigma-zero": "sigma-zero(steps=15)",
    "universal": "universal(epochs=1)",
    "one-pixel": "one-pixel(population=6, generations=2)",
}


def clean(folder: Path) -> Any:
    """Two rounds of the quickstart's clients on few phantoms."""
    return study(folder)


def quickstart(folder: Path) -> Any:
    """A study with everything that the quickstart does: audit, student, export; then its model from its folder."""
    found = study(
        folder, audit__enabled=True, audit__images=40, distillation__enabled=True, export__enabled=True
    )
    fedrobust.audit_model(folder / "run", effort="quick", images=24, seed=3, out=folder / "card")
    fedrobust.attack_model(
        folder / "run",
        attacks=["fgsm", "pgd(steps=4)", "square(queries=20)"],
        images=24,
        out=folder / "attack",
    )
    found["audited alone"] = _read(folder / "card" / "card.json")
    found["attacked alone"] = _read(folder / "attack" / "attack.json")
    for document in (found["audited alone"], found["attacked alone"]):
        del document["model"][
            "digest"
        ]  # of a .keras file, an archive that holds the time at which it was written
    return found


def defended(folder: Path) -> Any:
    """Adversarial training behind a robust rule, against clients that collude, on uneven shards."""
    return study(
        folder,
        federation__clients=6,
        data__partition="dirichlet(min_size=1)",
        federation__aggregator="multi-krum",
        federation__pre_aggregators=["clipping", "nnm"],
        training__recipe="pgd(epsilon='4/255', steps=2)",
        training__recipe_from=2,
        training__schedule="cosine",
        poisoning__attack="alie",
        poisoning__malicious=1,
        evaluation__attacks=["fgsm", "pgd(steps=3)"],
    )


def backdoored(folder: Path) -> Any:
    """A backdoor among the clients of a round, with images crafted by gradients, SGD and a server optimiser."""
    return study(
        folder,
        federation__clients=6,
        federation__participation=0.7,
        federation__aggregator="norm-clipping(threshold=5.0)",
        federation__server_optimizer="fedadam",
        training__optimizer="sgd(weight_decay=0.001)",
        training__proximal=0.1,
        training__class_weights="balanced",
        data__augment=1,
        model__batchnorm_policy="average",
        poisoning__attack="pixel-backdoor(target=0) + fgsm-images + model-replacement",
        poisoning__malicious=[0, 3],
        evaluation__select="best",
    )


def sweep(folder: Path) -> Any:
    """Four cells, two at a time."""
    file = folder / "sweep.toml"
    file.write_text(SWEEP)
    results = fedrobust.bench(file, out=folder / "sweep", workers=2)
    return {
        "rows": [{**dict(row.settings), **dict(row.figures), "status": row.status} for row in results.rows()],
        "compared": json.loads(fedrobust.compare([folder / "sweep"]).to_json(orient="records")),
        "hashes": [row.hash for row in results.rows()],
    }


def study(folder: Path, **settings: Any) -> dict[str, Any]:
    """Run a study in `folder` / "run" and return what its files hold."""
    path = fedrobust.run(None, out=folder / "run", **{**TINY, **settings}).path
    documents = {
        name: _read(path / name)
        for name in ("result.json", "card.json", "partition.json")
        if (path / name).exists()
    }
    digests: dict[str, Any] = {"examples.npz": _arrays(path / "examples.npz")}
    digests |= {file.name: digest(file.read_bytes()) for file in sorted(path.glob("*.tflite"))}
    return {
        **documents,
        "metrics.jsonl": [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()],
        "experiment.toml": tomllib.loads((path / "experiment.toml").read_text()),
        "files": sorted(str(file.relative_to(path)) for file in path.iterdir()),
        "digests": digests,
    }


@dataclass(frozen=True)
class Case:
    """What is run and compared.

    Attributes:
        run: takes an empty folder and returns what came out.
        tolerance: on another machine than the one that recorded.
        long: it takes more than a few seconds.
    """

    run: Callable[[Path], Any]
    tolerance: Tolerance
    long: bool = False


CASES = {
    "rules": Case(rules, ARRAYS),
    "attacks-on-learning": Case(attacks_on_learning, ARRAYS),
    "partitions": Case(partitions, ARRAYS),
    "clean": Case(clean, STUDIES),
    "attacks-on-models": Case(attacks_on_models, ATTACKS, long=True),
    "quickstart": Case(quickstart, AUDITS, long=True),
    "defended": Case(defended, STUDIES, long=True),
    "backdoored": Case(backdoored, STUDIES, long=True),
    "sweep": Case(sweep, STUDIES, long=True),
}


def array(values: Any) -> dict[str, Any]:
    """Return an array's digest, and figures by which it can be compared where the last bits differ."""
    values = np.asarray(values)
    exact = values.astype(np.float64).ravel()
    finite = exact[np.isfinite(exact)]
    return {
        "digest": digest(f"{values.dtype}{values.shape}".encode() + np.ascontiguousarray(values).tobytes()),
        "shape": list(values.shape),
        "finite": int(finite.size),
        "norm": float(np.linalg.norm(finite)),
        "mean": float(finite.mean()) if finite.size else 0.0,
        "first": finite[:3].tolist(),
    }


def digest(content: bytes) -> str:
    """Return the SHA-256 of `content` as hex."""
    return hashlib.sha256(content).hexdigest()


def _arrays(path: Path) -> dict[str, Any]:
    """Return the arrays of an .npz file; the file itself holds the time at which it was written."""
    with np.load(path) as arrays:
        return {
            name: arrays[name].tolist() if arrays[name].dtype.kind in "US" else array(arrays[name])
            for name in sorted(arrays.files)
        }


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _updates(clients: int) -> np.ndarray:
    """Return updates around one direction, (clients, 300) float32."""
    draw = np.random.default_rng(1)
    direction = draw.standard_normal(300)
    return (direction + 0.3 * draw.standard_normal((clients, 300))).astype(np.float32)
