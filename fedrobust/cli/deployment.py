"""Commands for a deployment: write the folders of server and sites, check and renew them, start what is in them.

What a command needs is imported inside of its function, so that ``--help`` is fast.
"""

import re
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from fedrobust.cli.app import Command, deploy, examples
from fedrobust.cli.options import DataRoot, Settings
from fedrobust.complaints import fail, printable
from fedrobust.paths import expanded

if TYPE_CHECKING:
    from fedrobust.deployment.folders import Server

Folder = Annotated[Path, typer.Argument(help="The folder of the whole deployment, the server or a site.")]


@deploy.command(
    cls=Command,
    epilog=examples(
        "fedrobust deploy init mine.toml --host fl.example.org --sites bern,chur --out hospitals",
        "fedrobust deploy init hospitals.toml --evaluation public.npz --out trial",
    ),
)
def init(
    study: Annotated[Path, typer.Argument(help="Study file.")],
    out: Annotated[
        Path, typer.Option(help="New folder, with one folder for the server and one for each site.")
    ],
    sites: Annotated[
        str,
        typer.Option(
            help="Names with commas, client 0 first, each perhaps with =FILE, the path of its images there "
            "(otherwise /data/NAME.npz); by default the names and files of data.clients."
        ),
    ] = "",
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="Name or address at which sites reach the server; repeatable, the first is used. Without one, "
            "localhost: a trial on this machine."
        ),
    ] = None,
    evaluation: Annotated[
        str,
        typer.Option(
            help="The server's own images, on which the model is measured: a data set or an .npz file; by default "
            "those of data.name."
        ),
    ] = "",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the server for the sites.")] = 8000,
    control_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the server for the researcher, on loopback.")
    ] = 9000,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Validity of the server's certificate.")] = 365,
    set_: Settings = None,
    data_root: DataRoot = "",
) -> None:
    """Write a deployment: keys, certificates, settings, instructions, service and container files."""
    from fedrobust import api
    from fedrobust.deployment.initialise import initialise
    from fedrobust.deployment.server_study import changes, site_files

    experiment = api.experiment(study, set_ or (), **({"data__root": data_root} if data_root else {}))
    named = _sites(sites) if sites else {name: str(path) for name, path in site_files(experiment).items()}
    found = initialise(
        experiment,
        named,
        out,
        hosts=tuple(host or ("localhost",)),
        evaluation=evaluation,
        port=port,
        control_port=control_port,
        days=days,
    )
    typer.echo(f"{out / 'server'}: the server, {found.server.address}; read its INSTRUCTIONS.md first")
    for site in found.sites:
        typer.echo(f"{out / site.name}: client {site.client}, with its private key; images: {site.data}")
    typer.echo(f"{out / 'authority'}: the key that signs certificates: keep it safe, and off the server")
    if changed := changes(experiment, api.experiment(found.server.study)):
        typer.echo(f"changed for the deployment (before): {'; '.join(changed)}")
    typer.echo(f"next: fedrobust deploy check {quote(str(out))}")


@deploy.command(
    cls=Command, epilog=examples("fedrobust deploy check hospitals", "fedrobust deploy check . --connect")
)
def check(
    folder: Folder,
    connect: Annotated[
        bool, typer.Option("--connect", help="Of a site: also ask the server whether it admits this site.")
    ] = False,
) -> None:
    """Check keys, certificates, permissions, settings and images; exit code 2 if something is wrong."""
    from fedrobust.deployment.inspection import inspect
    from fedrobust.terminal.screen import say, standard_output

    findings = inspect(expanded(folder))
    for each in findings:
        mark = "wrong" if each.fault else "look at" if each.warning else "ok"
        say(standard_output(), f"{mark}: {each.where}: {each.text}", markup=False)
    faults = sum(each.fault for each in findings)
    if faults:
        fail(f"{folder}: {faults} of {len(findings)} checks failed, see above")
    if connect:
        from fedrobust.deployment.folders import site_folder
        from fedrobust.deployment.knock import knock

        site = site_folder(expanded(folder))
        knock(site)
        typer.echo(f"ok: {site.name}: {site.server} is the right server, and admits this site")


@deploy.command(
    cls=Command,
    epilog=examples("fedrobust deploy renew hospitals", "fedrobust deploy renew hospitals/bern"),
)
def renew(
    folder: Annotated[Path, typer.Argument(help="The folder of the whole deployment, or of a site.")],
    days: Annotated[int, typer.Option(min=1, max=3650, help="Validity of the server's certificate.")] = 365,
) -> None:
    """Renew the server's certificate, or make a site a new key pair; what was there is kept as .old."""
    from fedrobust.deployment.renewal import renew as renewed

    for line in renewed(expanded(folder), days):
        typer.echo(line)


@deploy.command(
    cls=Command, epilog=examples("fedrobust deploy ledger .", "fedrobust deploy ledger hospitals/bern")
)
def ledger(folder: Annotated[Path, typer.Argument(help="The site's folder.")]) -> None:
    """Make the ledger of a site's privacy budget, once, before its images are trained on."""
    from fedrobust.deployment.folders import site_folder
    from fedrobust.deployment.ledger import make_ledger

    path = make_ledger(site_folder(expanded(folder)))
    typer.echo(f"{path}: an empty ledger: right only if no study has been trained on these images yet")


@deploy.command(
    cls=Command, epilog=examples("fedrobust deploy serve .", "fedrobust deploy serve hospitals/server")
)
def serve(
    folder: Annotated[Path, typer.Argument(help="The server's folder.")],
    listen: Annotated[
        str, typer.Option(help="Address of this machine for the sites, instead of server.toml's.")
    ] = "",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for the sites, instead of server.toml's.")
    ] = 0,
    control_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for the researcher, instead of server.toml's.")
    ] = 0,
) -> None:
    """Start the server, until Ctrl-C or TERM; refuse keys and settings that cannot work."""
    from fedrobust.deployment import starting

    starting.serve(_server(folder, listen, port, control_port))


@deploy.command(
    cls=Command,
    epilog=examples(
        "fedrobust deploy node .", "fedrobust deploy node hospitals/bern --server 127.0.0.1:8000"
    ),
)
def node(
    folder: Annotated[Path, typer.Argument(help="The site's folder.")],
    server: Annotated[str, typer.Option(help="HOST:PORT of the server, instead of site.toml's.")] = "",
    data: Annotated[str, typer.Option(help="The images, an .npz file, instead of site.toml's.")] = "",
    ledger: Annotated[
        str,
        typer.Option(help="The ledger of the privacy budget, instead of site.toml's: for a trial, a copy."),
    ] = "",
) -> None:
    """Start a site's node, until Ctrl-C or TERM; exit code 2 if keys or images are wrong, 1 if the server is."""
    from dataclasses import replace

    from fedrobust.deployment import starting
    from fedrobust.deployment.folders import site_folder

    site = site_folder(expanded(folder)).connected_to(server)
    site = site.counting_in(str(expanded(ledger)) if ledger else "")
    starting.start_node(replace(site, data=str(expanded(data))) if data else site)


@deploy.command(
    cls=Command, epilog=examples("fedrobust deploy status .", "fedrobust deploy status hospitals")
)
def status(
    folder: Annotated[Path, typer.Argument(help="The server's folder.")],
    control_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for the researcher, instead of server.toml's.")
    ] = 0,
) -> None:
    """List the sites of a running server on this machine, and which are online."""
    from fedrobust.deployment.control import control

    server = _server(folder, control_port=control_port)
    with control(server) as steering:
        for site in steering.sites():
            since = f" since {site.since} UTC" if site.online else ""
            typer.echo(f"{site.name}: {'online' if site.online else 'not online'}{since}")


@deploy.command(
    cls=Command, epilog=examples("fedrobust deploy run .", "fedrobust deploy run . --at-least 2 --wait 3600")
)
def run(
    folder: Annotated[Path, typer.Argument(help="The server's folder.")],
    at_least: Annotated[int, typer.Option(min=0, help="Start with so many sites online; 0: with all.")] = 0,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for them.")] = 600.0,
    set_: Settings = None,
    control_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for the researcher, instead of server.toml's.")
    ] = 0,
) -> None:
    """Run the study at the sites of a running server on this machine; exit code 1 if it fails."""
    from fedrobust.deployment.control import control, wait_for_sites
    from fedrobust.deployment.dry_run import study_of

    server = _server(folder, control_port=control_port)
    experiment = study_of(server, set_ or ())
    with control(server) as steering:
        wait_for_sites(steering, at_least or len(server.sites), wait, typer.echo)
        steering.follow(steering.start(experiment), _say)


@deploy.command(
    cls=Command,
    name="dry-run",
    epilog=examples("fedrobust deploy dry-run hospitals", "fedrobust deploy dry-run hospitals --rounds 1"),
)
def dry_run(
    folder: Annotated[Path, typer.Argument(help="The folder of the whole deployment.")],
    rounds: Annotated[int, typer.Option(min=0, help="Rounds; 0: as many as the study has.")] = 0,
    set_: Settings = None,
) -> None:
    """Try a deployment on this machine: start server and sites with their files, run the study, stop them.

    A site's privacy budget is counted in a copy of its ledger: a trial spends nothing of it.
    """
    from fedrobust.deployment.dry_run import dry_run as dry
    from fedrobust.deployment.folders import Deployment

    overrides = [*(set_ or ()), *([f"federation.rounds={rounds}"] if rounds else [])]
    dry(Deployment.read(expanded(folder)), _say, overrides)
    typer.echo("everything is stopped again")


def _say(text: str) -> None:
    """Write what a run logs, without colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text).rstrip("\n")
    typer.echo(printable(text))


def _server(folder: Path, listen: str = "", port: int = 0, control_port: int = 0) -> "Server":
    """Return the server's folder, with the addresses that are given."""
    from dataclasses import replace

    from fedrobust.deployment.folders import server_folder

    found = server_folder(expanded(folder))
    return replace(
        found,
        listen=listen or found.listen,
        port=port or found.port,
        control_port=control_port or found.control_port,
    )


def _sites(given: str) -> dict[str, str]:
    """Return the path of each site's images, from ``bern=/data/bern.npz,chur``.

    A relative path is one from the current folder if there is such a file, else from the site's folder.
    """
    found: dict[str, str] = {}
    for part in given.split(","):
        name, _, data = (text.strip() for text in part.partition("="))
        if name in found:
            fail(f"--sites {given}: {name} stands there twice")
        is_here = bool(data) and not expanded(data).is_absolute() and Path(data).is_file()
        found[name] = str(Path(data).absolute()) if is_here else data or f"/data/{name}.npz"
    return found
