"""What `deploy init` writes, what `deploy check` finds wrong in it, and what `deploy renew` replaces."""

import datetime
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from cryptography import x509
from deployed import SITES, hospital, study, written
from typer.testing import CliRunner

from fedrobust import cli
from fedrobust.config import Experiment
from fedrobust.deployment import certificates, initialise, renewal
from fedrobust.deployment.dry_run import study_of
from fedrobust.deployment.folder_file import DeploymentError
from fedrobust.deployment.folders import Deployment, Server, opened, server_folder, site_folder
from fedrobust.deployment.inspection import inspect, inspect_server, inspect_site
from fedrobust.deployment.keys import read_node_keys
from fedrobust.deployment.server_study import server_study, site_files
from fedrobust.deployment.site import Site
from fedrobust.errors import FedrobustError


def test_every_party_gets_its_files_and_no_other_partys_secret(deployed):
    found = {str(path.relative_to(deployed.folder)) for path in deployed.folder.rglob("*") if path.is_file()}
    wanted = {"authority/ca.key", "authority/ca.crt"}
    beside = {"INSTRUCTIONS.md", "Containerfile"}
    wanted |= {
        f"server/{name}" for name in ("server.toml", "study.toml", "fedrobust-server.service", *beside)
    }
    wanted |= {f"server/keys/{name}" for name in ("ca.crt", "server.pem", "server.key", "account.token")}
    for client, name in enumerate(SITES):
        wanted |= {f"{name}/{file}" for file in ("site.toml", f"fedrobust-{name}.service", *beside)}
        wanted |= {f"{name}/keys/{file}" for file in ("node", "node.pub", "ca.crt")}
        wanted.add(f"server/keys/nodes/{name}-{client}.pub")
    assert found == wanted
    private = {path for path in found if (deployed.folder / path).stat().st_mode & 0o777 == 0o600}
    secret = {"authority/ca.key", "server/keys/server.key", "server/keys/account.token"}
    assert private == secret | {f"{name}/keys/node" for name in SITES}
    assert {path for path in found if b"PRIVATE KEY" in (deployed.folder / path).read_bytes()} == private - {
        "server/keys/account.token"
    }
    folders = [deployed.folder, *(path for path in deployed.folder.rglob("*") if path.is_dir())]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


def test_the_server_admits_exactly_the_sites(deployed):
    keys = read_node_keys(deployed.server.keys / "nodes")
    assert [(key.partition, key.name) for key in keys] == [(0, "bern-0"), (1, "chur-1"), (2, "genf-2")]
    for site, key in zip(deployed.sites, keys, strict=True):
        public = certificates.read_private_key(site.key).public_key()
        assert certificates.node_public_key(public) == (site.keys / "node.pub").read_bytes()
        assert key.name == f"{site.name}-{site.client}"


def test_the_certificate_is_for_the_host_and_for_this_machine(deployed):
    certificate = certificates.read_certificate(deployed.server.keys / "server.pem")
    assert certificates.hosts_of(certificate) == ("fl.example.org", "localhost", "127.0.0.1", "::1")
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert 363 <= left.days <= 365
    authority = certificates.read_certificate(deployed.authority / "ca.crt")
    assert authority.not_valid_after_utc > certificate.not_valid_after_utc + datetime.timedelta(days=3000)


def test_the_servers_study_has_the_sites_as_clients_and_none_of_their_images(deployed, data):
    experiment = Experiment.load(deployed.server.study)
    assert experiment.federation.clients == 3
    assert experiment.data.clients == ()
    assert experiment.data.name == str(data / "server.npz")
    text = deployed.server.study.read_text()
    assert not [name for name in SITES if f"{name}.npz" in text]
    assert experiment.engine.client_timeout == 3600


def test_a_site_knows_what_the_study_takes(deployed, data):
    site = site_folder(deployed.folder / "chur")
    assert (site.client, site.server, site.host) == (1, "fl.example.org:8000", ("fl.example.org", 8000))
    assert site.images == data / "chur.npz"
    assert (site.takes.image_shape, site.takes.label_names) == ((28, 28, 1), ("benign", "malignant"))
    assert site.connected_to("127.0.0.1:1").host == ("127.0.0.1", 1)


def test_a_new_deployment_is_without_faults(deployed):
    findings = inspect(deployed.folder)
    assert [each.text for each in findings if each.fault or each.warning] == []
    assert {each.where for each in findings} == {"server", *SITES}
    assert isinstance(opened(deployed.folder), Deployment)
    assert isinstance(opened(deployed.folder / "server"), Server)
    assert isinstance(opened(deployed.folder / "bern"), Site)
    assert server_folder(deployed.folder) == server_folder(deployed.folder / "server")


def test_nothing_is_overwritten_and_nothing_half_written_is_left(deployed, data, tmp_path, monkeypatch):
    with pytest.raises(DeploymentError, match="exists already"):
        written(data, deployed.folder)
    monkeypatch.setattr(initialise, "write_site_pages", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        written(data, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sites": {}}, "name the sites"),
        ({"sites": {"Bern": "x.npz"}}, "small letters"),
        ({"sites": {"server": "x.npz"}}, "other than server"),
        ({"sites": {"../x": "x.npz"}}, "small letters"),
        ({"sites": {"bern": "it's.npz"}}, "apostrophes"),
        ({"hosts": ()}, "--host"),
        ({"hosts": ("ümlaut host",)}, "not a host's name"),
        ({"port": 9000}, "both 9000"),
        ({"evaluation": ""}, "--evaluation"),
        ({"evaluation": "none.npz"}, "no such file"),
    ],
)
def test_what_cannot_be_deployed_is_refused(data, tmp_path, change, reason):
    given = {"sites": {"bern": "/data/bern.npz"}, "evaluation": str(data / "server.npz"), **change}
    sites = given.pop("sites")
    with pytest.raises(FedrobustError, match=reason):
        initialise.initialise(study(data), sites, tmp_path / "new", **given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"poisoning__attack": "sign-flip", "poisoning__malicious": 0.4}, "would attack real sites"),
        ({"data__site_shifts": ["0: blur(severity=1)"]}, "take it out"),
        ({"evaluation__baselines": ["central"]}, "take it out"),
        ({"federation__availability": ["0: dropout"]}, "real ones do so by themselves; take it out"),
        ({"training__algorithm": "scaffold"}, "loses when it restarts"),
        ({"training__algorithm": "feddyn(alpha=0.2)"}, "loses when it restarts"),
    ],
)
def test_a_study_that_needs_a_simulation_is_refused(data, settings, reason):
    with pytest.raises(DeploymentError, match=reason):
        server_study(study(data, **settings), 3, str(data / "server.npz"))


@pytest.mark.parametrize("algorithm", ["fednova", "fedprox", "fedper", "ditto"])
def test_states_that_clients_alone_have_are_no_reason_to_refuse(data, algorithm):
    assert server_study(study(data, training__algorithm=algorithm), 3, str(data / "server.npz"))


ATTACK = ["poisoning.attack=sign-flip", "poisoning.malicious=0.4"]


def test_settings_that_attack_are_refused_after_init_too(deployment):
    with pytest.raises(DeploymentError, match="would attack real sites"):
        study_of(deployment.server, ATTACK)
    sets = [part for each in ATTACK for part in ("--set", each)]
    done = CliRunner().invoke(cli.app, ["deploy", "run", str(deployment.folder), *sets])
    assert done.exit_code == 2
    assert "would attack real sites" in done.output
    path = deployment.server.study
    path.write_text(study_of(deployment.server).changed(ATTACK).to_toml())
    assert "would attack real sites" in fault(inspect_server(deployment.server))


def test_held_out_sites_are_no_clients(data):
    held = study(data, data__held_out_sites=["genf"], federation__clients=2)
    assert list(site_files(held)) == ["bern", "chur"]


def fault(findings):
    (found,) = [each.text for each in findings if each.fault]
    return found


def certificate(deployment, days, hosts=("fl.example.org",)):
    """Replace the server's certificate by one that is valid for other days or hosts."""
    authority = certificates.Authority(
        certificates.read_private_key(deployment.authority / "ca.key"),
        certificates.read_certificate(deployment.authority / "ca.crt"),
    )
    key = certificates.read_private_key(deployment.server.keys / "server.key").public_key()
    made = certificates.server_certificate(authority, key, list(hosts), days)
    (deployment.server.keys / "server.pem").write_bytes(certificates.pem(made))


def test_an_expired_certificate_is_named_with_its_day(deployment):
    certificate(deployment, 0)
    assert "server.pem: expired on" in fault(inspect_server(deployment.server))
    assert "fedrobust deploy renew" in fault(inspect_server(deployment.server))
    certificate(deployment, 20)
    findings = inspect_server(deployment.server)
    (warned,) = [each.text for each in findings if each.warning]
    assert "deploy renew" in warned
    assert not [each for each in findings if each.fault]


BREAKS = {
    "chmod 600": lambda d: (d.sites[0].key).chmod(0o644),
    "not the public key of": lambda d: shutil.copy(d.sites[1].keys / "node.pub", d.sites[0].keys),
    "not a private key": lambda d: (d.sites[0].key.write_text("no"), d.sites[0].key.chmod(0o600)),
    "not a certificate": lambda d: d.sites[0].authority.write_text("no"),
    "not this site's public key": lambda d: shutil.copy(
        d.sites[1].keys / "node.pub", d.server.keys / "nodes" / "bern-0.pub"
    ),
    "name the file bern-0.pub": lambda d: (d.server.keys / "nodes" / "bern-0.pub").rename(
        d.server.keys / "nodes" / "inselspital-0.pub"
    ),
    "client 1 is chur: name the file chur-1.pub": lambda d: (d.server.keys / "nodes" / "chur-1.pub").rename(
        d.server.keys / "nodes" / "bern-1.pub"
    ),
    "not the key of server.pem": lambda d: shutil.copy(d.authority / "ca.key", d.server.keys / "server.key"),
    "not valid for fl.example.org": lambda d: certificate(d, 100, ("other.example.org",)),
    "federation.clients = 3": lambda d: (d.server.folder / "server.toml").write_text(
        (d.server.folder / "server.toml").read_text().replace('    "genf",\n', "")
    ),
}


@pytest.mark.parametrize("reason", BREAKS)
def test_what_is_wrong_is_found(deployment, reason):
    BREAKS[reason](deployment)
    faults = [each.text for each in inspect(deployment.folder) if each.fault]
    assert any(reason in each for each in faults), faults


def test_images_that_are_missing_or_do_not_fit_are_named(deployment, tmp_path):
    site = deployment.sites[0]
    toml = (site.folder / "site.toml").read_text()

    def with_data(path):
        (site.folder / "site.toml").write_text(toml.replace(site.data, str(path)))
        return fault(inspect_site(Site.read(site.folder)))

    assert "no such file" in with_data(tmp_path / "none.npz")
    hospital(tmp_path / "large.npz", 0, size=32)
    assert "does not fit: images of (32, 32, 1)" in with_data(tmp_path / "large.npz")
    hospital(tmp_path / "other.npz", 0, classes=("a", "b"))
    assert "does not fit: classes 'a', 'b'" in with_data(tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("client = 0", 'client = "0"', "client = '0'; allowed: a whole number"),
        ("image-shape", "shape", "no image-shape"),
        (":8000", "", "HOST:PORT"),
        ("[", "", "not TOML"),
    ],
)
def test_a_site_file_that_cannot_be_read_says_which_key(deployment, before, after, reason):
    path = deployment.sites[0].folder / "site.toml"
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(DeploymentError, match=reason):
        opened(path.parent)


def test_images_that_are_at_the_site_only_are_no_fault_of_the_deployment(deployment):
    path = deployment.sites[0].folder / "site.toml"
    path.write_text(path.read_text().replace(deployment.sites[0].data, "/there/bern.npz"))
    findings = inspect(deployment.folder)
    assert [(each.where, each.text) for each in findings if each.fault or each.warning] == [
        ("bern", "/there/bern.npz: not here; checked at the site")
    ]
    assert "no such file" in fault(inspect(path.parent))


def test_a_site_that_was_handed_over_is_no_fault(deployment):
    shutil.rmtree(deployment.folder / "chur")
    findings = inspect(deployment.folder)
    assert not [each for each in findings if each.fault]
    assert "handed over" in {each.where: each.text for each in findings}["chur"]


def test_renewal_keeps_the_authority_and_the_sites(deployment):
    before = (deployment.server.keys / "server.pem").read_bytes()
    certificate(deployment, 0)
    told = renewal.renew(deployment.folder, 100)
    assert len(told) == 1
    assert (deployment.server.keys / "server.pem").read_bytes() != before
    assert (deployment.server.keys / "server.key").stat().st_mode & 0o777 == 0o600
    assert not [each for each in inspect(deployment.folder) if each.fault or each.warning]
    for path in (deployment.server, *deployment.sites):
        expiry = certificates.read_certificate(deployment.server.keys / "server.pem").not_valid_after_utc
        assert f"{expiry:%Y-%m-%d}" in (path.folder / "INSTRUCTIONS.md").read_text()


def test_renewal_leaves_edited_units_and_keeps_edited_instructions(deployment):
    folders = (deployment.server.folder, *(site.folder for site in deployment.sites))
    edited = [path for folder in folders for path in (*folder.glob("*.service"), folder / "Containerfile")]
    pages = [folder / "INSTRUCTIONS.md" for folder in folders]
    for path in (*edited, *pages):
        path.write_text("our own")
    renewal.renew(deployment.folder, 100)
    assert len(edited) == 8
    assert {path.read_text() for path in edited} == {"our own"}
    assert {path.with_name("INSTRUCTIONS.md.old").read_text() for path in pages} == {"our own"}
    assert all("fedrobust" in path.read_text() for path in pages)


def test_instructions_that_stay_the_same_are_not_set_aside(deployment):
    page = deployment.server.folder / "INSTRUCTIONS.md"
    renewal._renew_page(page, page.read_text())
    assert not page.with_name("INSTRUCTIONS.md.old").exists()


def test_an_authority_that_ends_is_renewed_with_its_key(deployment):
    key = certificates.read_private_key(deployment.authority / "ca.key")
    old = certificates.Authority.new(50, key).certificate
    for path in (deployment.authority, deployment.server.keys, *(site.keys for site in deployment.sites)):
        (path / "ca.crt").write_bytes(certificates.pem(old))
    told = renewal.renew(deployment.folder)
    assert "every site needs the new file" in told[0]
    assert not [each for each in inspect(deployment.folder) if each.fault or each.warning]
    new = x509.load_pem_x509_certificate((deployment.server.keys / "server.pem").read_bytes())
    new.verify_directly_issued_by(old)


def test_a_site_makes_itself_a_new_key(deployment):
    site = deployment.sites[0]
    before = site.key.read_bytes()
    told = renewal.renew(site.folder)
    assert "bern-0.pub" in told[1]
    assert site.key.read_bytes() != before
    assert site.key.stat().st_mode & 0o777 == 0o600
    assert not [each for each in inspect_site(site) if each.fault]
    assert "not this site's public key" in fault(inspect(deployment.folder))


def test_a_server_alone_cannot_renew_its_certificate(deployment):
    with pytest.raises(DeploymentError, match="authority's key"):
        renewal.renew(deployment.server.folder)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_units_are_what_systemd_reads(deployed):
    units = [
        str(deployed.server.folder / "fedrobust-server.service"),
        *(str(site.folder / f"fedrobust-{site.name}.service") for site in deployed.sites),
    ]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if any(Path(unit).name in line for unit in units)]
    # The program is installed on the host, not here.
    assert [line for line in said if "is not executable" not in line] == []


def test_settings_are_toml_with_the_host_and_the_ports(deployed):
    held = tomllib.loads((deployed.server.folder / "server.toml").read_text())
    assert held == {
        "federation": "hospitals",
        "hosts": ["fl.example.org"],
        "listen": "0.0.0.0",
        "port": 8000,
        "control-port": 9000,
        "sites": list(SITES),
    }
