"""What a run promises about privacy, as ``result.json`` holds it."""

from fedrobust.runs.codec import entry, record


@record
class PromisedClientRecord:
    """The promise of one client to each of its images."""

    client: int = entry("its number")
    images: int = entry("that it trains on", default=0)
    rate: float = entry("probability that an image is in a batch", default=1.0)
    steps: int = entry("steps of the whole study, if it takes part in every round", default=0)
    noise_multiplier: float = entry("of its steps", default=0.0)
    epsilon: float | None = entry("that it promises, tight; null: none", default=None)


@record
class PromiseRecord:
    """A promise of differential privacy of the global models of all rounds."""

    unit: str = entry("what neighbouring data sets differ in", choices=("client", "image"), default="client")
    mechanism: str = entry("with its settings", default="")
    noise: str = entry(
        "where noise is added", choices=("server", "distributed", "local", "step"), default="server"
    )
    adjacency: str = entry(
        "how they differ", choices=("add or remove one", "replace one"), default="add or remove one"
    )
    sampling: str = entry(
        "of clients in a round, or of images in a step",
        choices=("all", "poisson", "without-replacement"),
        default="all",
    )
    rate: float = entry("probability that a client, or an image, is in a release", default=1.0)
    releases: int = entry("rounds, or steps of the client with the largest epsilon", default=0)
    clip: float = entry("largest norm of a contribution at the start", default=0.0)
    noise_multiplier: float = entry("that counts: of the honest clients' noise", default=0.0)
    delta: float = entry("of the promise", default=0.0)
    epsilon: float | None = entry("of the whole study, the smaller of both bounds; null: none", default=None)
    epsilon_rdp: float | None = entry("by Rényi divergences; null: none", default=None)
    epsilon_pld: float | None = entry(
        "by privacy loss distributions; null: none, not known for this sampling, or beside an RDP above 1,000",
        default=None,
    )
    noise_to_clip: float | None = entry(
        "norm of the noise in a release, in units of the largest possible mean", default=None
    )
    clients: tuple[PromisedClientRecord, ...] | None = entry(
        "the promise of each client; left out where all have the same", default=None, left_out=True
    )


@record
class PrivacyRecord:
    """What is promised about privacy, and what is not covered."""

    promises: tuple[PromiseRecord, ...] = entry("of differential privacy; empty: none", default=())
    secure_aggregation: bool = entry("whether the server saw only sums of updates", default=False)
    not_covered: tuple[str, ...] = entry("what the promises do not cover, in sentences", default=())
