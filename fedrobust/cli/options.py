"""Options that several commands take."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

Study = Annotated[
    Path | None,
    typer.Argument(help="Study file, or breast, derma, mednist, pneumonia; without one, the quickstart."),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Change a key: --set federation.clients=20. Repeatable.")
]
DataRoot = Annotated[
    str, typer.Option("--data-root", help="Folder searched first; then $FEDROBUST_DATA, then ~/.medmnist.")
]
Log = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        help="Also log to tensorboard, mlflow or wandb (offline), with settings as in \"mlflow(experiment='breast')\". "
        "Repeatable.",
    ),
]
Model = Annotated[
    Path, typer.Argument(help="A .keras file of Keras 3, an .onnx or .tflite file, or a run folder.")
]
Data = Annotated[
    str, typer.Option("--data", help="A MedMNIST name, phantom, or an .npz file; a run folder has its own.")
]
Norm = Annotated[str, typer.Option(help="linf, l2, or (attack only) l0.")]
Space = Annotated[str, typer.Option(help="native: the stored pixels; prepared: the network's input.")]
Bits = Annotated[int, typer.Option(help="8: adversarial images with 8-bit grey levels only.")]
Tied = Annotated[bool, typer.Option("--tied", help="Perturb all colour channels alike.")]
SplitName = Annotated[str, typer.Option("--split", help="train, validation or test.")]
Count = Annotated[int, typer.Option("--images", min=0, help="Number of images, stratified by class; 0: all.")]
Samples = Annotated[int, typer.Option(help="Noisy copies of each image; more certify larger radii.")]
Alpha = Annotated[float, typer.Option(help="Probability that a certificate is wrong.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")]
Out = Annotated[
    str, typer.Option(help="Folder of results; finished parts of the same request are not run again.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the results of another request in --out.")]


Input = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        help="The images that a foreign model takes: 0..1, 0..255, -1..1, uint8, "
        '"mean=0.485 0.456 0.406, std=0.229 0.224 0.225", with bgr or channels-first behind it; by default as its '
        "Rescaling and Normalization layers and its input's type show, else 0..1.",
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--labels", help='Class order: the data\'s label of each output, as "1,0", or names with commas.'
    ),
]
Head = Annotated[
    list[str] | None,
    typer.Option("--head", help="Name or number (from 0) of the output, of a model with several."),
]


def _shared(
    input: Input = None,
    labels: Labels = None,
    head: Head = None,
    norm: Norm = "linf",
    space: Space = "native",
    bits: Bits = 0,
    tied: Tied = False,
    split: SplitName = "test",
    images: Count = 0,
    seed: Seed = 0,
    out: Out = "",
    force: Force = False,
    data_root: DataRoot = "",
) -> None:
    """Options that the attack and the audit of a model share, in the order of their help."""


def takes_model_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with the options of `_shared` after its own, passed to it as the dictionary `options`.

    Args:
        command: takes a keyword `options`, a dictionary of the shared options.
    """
    own, shared = inspect.signature(command), inspect.signature(_shared)

    def with_options(**given: Any) -> None:
        options = {name: given.pop(name) for name in shared.parameters}
        command(**given, options={name: "" if value is None else value for name, value in options.items()})

    parameters = [
        *(one for one in own.parameters.values() if one.name != "options"),
        *shared.parameters.values(),
    ]
    with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
    # Typer reads the options from the signature.
    with_options.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_options
