"""The files of a folder beside its keys: instructions, systemd unit, container file."""

import datetime
import shlex
from pathlib import Path

import jinja2

import fedrobust
from fedrobust.config import Experiment
from fedrobust.data.class_names import as_option
from fedrobust.deployment.certificates import read_certificate
from fedrobust.deployment.folders import Server
from fedrobust.deployment.site import LEDGER, Site

INSTRUCTIONS = "INSTRUCTIONS.md"
"""The page of a party."""


def write_server_pages(server: Server, experiment: Experiment) -> None:
    """Write the server's instructions, unit and container file."""
    _write(server.folder / INSTRUCTIONS, server_instructions(server, experiment))
    _write_service(
        server.folder,
        title=f"the server of the federation {server.federation}",
        name="server",
        command="serve",
        writes="runs",
        ports=f"{server.port}:{server.port}",
        data="",
    )


def write_site_pages(site: Site, experiment: Experiment, server_certificate: Path) -> None:
    """Write a site's instructions, unit and container file."""
    _write(site.folder / INSTRUCTIONS, site_instructions(site, experiment, server_certificate))
    _write_service(
        site.folder,
        title=f"the node of {site.name} in the federation {site.federation}",
        name=site.name,
        command="node",
        writes=str(Path(LEDGER).parent),
        ports="",
        data=site.data,
    )


def server_instructions(server: Server, experiment: Experiment) -> str:
    """Return the server's instructions, with the days on which its certificates end."""
    dates = _dates(server.keys / "ca.crt", server.keys / "server.pem")
    return _rendered("server.md.j2", server=server, timeout=f"{experiment.engine.client_timeout:g}", **dates)


def site_instructions(site: Site, experiment: Experiment, server_certificate: Path) -> str:
    """Return a site's instructions, with the days on which the certificates of authority and server end."""
    height, width, channels = site.takes.image_shape
    return _rendered(
        "site.md.j2",
        site=site,
        height=height,
        width=width,
        kind="grey" if channels == 1 else "RGB",
        colour="grey" if channels == 1 else "rgb",
        classes=site.takes.label_names,
        beside=_beside(experiment),
        privacy=_privacy(experiment),
        **_dates(site.authority, server_certificate),
    )


def _beside(experiment: Experiment) -> str:
    algorithm = experiment.training.algorithm
    if algorithm == "fedavg":
        return ""
    return f"; arrays of the same sizes that the algorithm {algorithm} exchanges beside them, where it does"


def _privacy(experiment: Experiment) -> str:
    given = experiment.privacy
    shown = [f"`{each}`" for each in experiment.federation.postprocessors]
    if given.protects_examples:
        noise = (
            f"epsilon {given.example_epsilon:g} at delta {given.delta:g}"
            if given.example_epsilon
            else f"noise multiplier {given.example_noise:g}"
        )
        shown.append(f"DP-SGD at your site, {noise} for each image (needs `fedrobust[privacy]`)")
    return ", ".join(shown) if shown else "**none in this study**"


def _dates(authority: Path, server: Path) -> dict[str, str]:
    return {
        "today": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "version": fedrobust.__version__,
        "authority_ends": f"{read_certificate(authority).not_valid_after_utc:%Y-%m-%d}",
        "server_ends": f"{read_certificate(server).not_valid_after_utc:%Y-%m-%d}",
    }


def _write_service(folder: Path, *, name: str, **content: str) -> None:
    _write(folder / f"fedrobust-{name}.service", _rendered("unit.service.j2", name=name, **content))
    text = _rendered("Containerfile.j2", name=name, version=fedrobust.__version__, **content)
    _write(folder / "Containerfile", text)


def _rendered(template: str, **content: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fedrobust.deployment"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # Markdown, units and container files are no HTML; what is filled in are names that were checked.
        autoescape=False,
    )
    environment.filters["quote"] = shlex.quote
    environment.filters["as_option"] = as_option
    return environment.get_template(template).render(content)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
