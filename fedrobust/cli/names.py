"""Commands that list the names for study files: members of families, data sets.

What a command needs is imported inside of its function, so that ``--help`` is fast.
"""

from dataclasses import asdict
from typing import Annotated

import typer

from fedrobust.cli.app import Command, app, data, examples
from fedrobust.cli.options import DataRoot
from fedrobust.cli.output import JsonResult, write_json
from fedrobust.registry import known_as


@app.command(cls=Command, epilog=examples("fedrobust explain krum", "fedrobust explain federation.clients"))
def explain(
    name: Annotated[
        str,
        typer.Argument(
            help="A name or a key of a study file: a rule, an attack, a model, a data set, federation.clients, "
            "federation, rules, ..."
        ),
    ],
    json: JsonResult = False,
) -> None:
    """Explain a name or a key: what it does, its settings and their values, its source, an example."""
    from fedrobust import api
    from fedrobust.terminal.explanation import lines
    from fedrobust.terminal.screen import standard_output

    if json:
        write_json([asdict(one) for one in api.explain(name)])
        return
    width = standard_output().width
    for number, one in enumerate(api.explain(name)):
        typer.echo("\n".join([*([""] if number else []), *lines(one, width)]))


@app.command(
    cls=Command, name="list", epilog=examples("fedrobust list rules", "fedrobust list | grep backdoor")
)
def list_(
    family: Annotated[
        str, typer.Argument(help="models, recipes, rules, pre-aggregators, poisoning, ...; all without one.")
    ] = "",
    json: JsonResult = False,
) -> None:
    """List the names that a study file may use, each with a summary and its source."""
    from fedrobust import api
    from fedrobust.config.families import FAMILIES
    from fedrobust.terminal.screen import screen_lines

    names = [known_as(family, FAMILIES) or family] if family else list(FAMILIES)
    if json:
        write_json({name: api.members(name) for name in names})
        return
    for name in names:
        members = api.members(name)
        width = max(map(len, members), default=0) + 1
        typer.secho(name, bold=True)
        for member, summary in members.items():
            screen_lines(f"  {member:<{width}} {summary}", indent=width + 3)
        for form, summary in FAMILIES[name].forms.items():
            screen_lines(f"  or {form}: {summary}", indent=width + 3)


@data.command(
    cls=Command, name="list", epilog=examples("fedrobust data list", "fedrobust data list --data-root images")
)
def data_list(data_root: DataRoot = "", json: JsonResult = False) -> None:
    """List the data sets and which of them are on this machine."""
    from fedrobust import api
    from fedrobust.terminal.data import data_sets_table
    from fedrobust.terminal.screen import standard_output

    if json:
        write_json(api.list_datasets(data_root))
        return
    standard_output().print(data_sets_table(api.list_datasets(data_root)))


@data.command(
    cls=Command,
    name="show",
    epilog=examples("fedrobust data show phantom", "fedrobust data show breastmnist --size 64"),
)
def data_show(
    name: Annotated[str, typer.Argument(help="A MedMNIST name, phantom, or the path of an .npz file.")],
    size: Annotated[int, typer.Option(help="28, 64, 128 or 224 pixels.")] = 28,
    data_root: DataRoot = "",
) -> None:
    """Show what is in a data set: counts, classes, shapes, source, licence, digest."""
    from fedrobust import api

    write_json(api.describe_dataset(name, size, data_root))
