"""What a coordinator and a hospital start with, and when they do not start at all."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.supercore.constant import TaskType
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.superexec.executor import ExecutionSpec, LaunchResultStatus
from flwr.superlink.federation import NoOpFederationManager

from fedrobust.deployment import app, certificates, executor, superlink, supernode
from fedrobust.deployment.keys import ADMITTED, KeyListError, read_node_keys
from fedrobust.errors import FedrobustError

PROJECT = Path(__file__).parents[2]
SCRIPT = PROJECT / "experiments" / "deployment" / "certificates.py"


def make(folder, *options):
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), *options], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "keys"
    done = make(folder, "--host", "coordinator.example.org", "--host", "192.0.2.7", "--nodes", "2")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def keys(made, tmp_path):
    """A copy of the keys that a test may change."""
    subprocess.run(["cp", "-rp", str(made), str(tmp_path / "keys")], check=True)
    return tmp_path / "keys"


def names(folder):
    certificate = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {
        str(value) for kind in (x509.DNSName, x509.IPAddress) for value in found.get_values_for_type(kind)
    }


HERE = {"localhost", "127.0.0.1", "::1"}


def test_a_certificate_is_valid_for_the_hosts_named_and_always_for_this_machine(made, tmp_path):
    assert names(made) == {"coordinator.example.org", "192.0.2.7", *HERE}
    for place, hosts in enumerate(([], ["2001:db8::1"], ["localhost"], ["a" * 60 + ".example.org"])):
        folder = tmp_path / str(place)
        done = make(folder, *[part for host in hosts for part in ("--host", host)])
        assert done.returncode == 0, done.stderr
        assert names(folder) == {*hosts, *HERE}


def test_what_is_secret_is_for_its_owner_alone(made):
    modes = {path.name: path.stat().st_mode & 0o777 for path in made.iterdir() if path.is_file()}
    secret = {name for name, mode in modes.items() if mode == 0o600}
    assert secret == {"server.key", "account.token", "node-0", "node-1"}
    assert set(modes) - secret == {"ca.crt", "server.pem"}
    assert [key.partition for key in read_node_keys(made / "nodes")] == [0, 1]


@pytest.mark.parametrize("options", [["--nodes", "-1"], ["--nodes", "x"], ["--host", "ümlaut host"]])
def test_what_cannot_be_made_is_said_in_one_line(tmp_path, options):
    done = make(tmp_path / "keys", *options)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_keys_are_not_overwritten(made):
    before = (made / "server.key").read_bytes()
    done = make(made)
    assert (done.returncode, "exists already" in done.stderr) == (2, True)
    assert (made / "server.key").read_bytes() == before


def options(keys, **changes):
    given = {"keys": keys, "nodes": None, "host": "127.0.0.1", "port": 8000, "control_port": 9000}
    return argparse.Namespace(**{**given, "database": ":flwr-in-memory:", **changes})


def replaced(keys, name, content):
    path = keys / name
    mode = path.stat().st_mode
    path.unlink()
    path.write_bytes(content)
    path.chmod(mode)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda keys: (keys / "ca.crt").unlink(), r"ca.crt: no such file"),
        (lambda keys: (keys / "server.pem").unlink(), r"server.pem: no such file"),
        (lambda keys: (keys / "server.key").unlink(), r"server.key: no such file"),
        (lambda keys: (keys / "server.key").chmod(0o640), r"chmod 600"),
        (lambda keys: (keys / "account.token").chmod(0o604), r"chmod 600"),
        (lambda keys: (keys / "account.token").unlink(), r"account.token"),
        (lambda keys: replaced(keys, "account.token", b""), r"not a token"),
        (lambda keys: replaced(keys, "server.pem", b"no"), r"not a certificate"),
        # The authority's own certificate names no host: the apps of this host could not verify it.
        (
            lambda keys: replaced(keys, "server.pem", (keys / "ca.crt").read_bytes()),
            r"not a certificate with",
        ),
        (lambda keys: [path.unlink() for path in (keys / "nodes").iterdir()], r"no \.pub file"),
        (
            lambda keys: (keys / "nodes" / "node-0.pub").rename(keys / "nodes" / "node.pub"),
            r"end in a number",
        ),
    ],
)
def test_a_coordinator_without_proper_keys_does_not_start(keys, break_it, reason):
    break_it(keys)
    with pytest.raises(FedrobustError, match=reason):
        superlink.run(options(keys))


def test_a_certificate_that_is_not_valid_for_this_machine_is_refused(keys, monkeypatch):
    monkeypatch.setattr(certificates, "HERE", ())
    authority = certificates.Authority.new()
    made = certificates.server_certificate(authority, authority.key.public_key(), ["coordinator.example.org"])
    replaced(keys, "server.pem", certificates.pem(made))
    with pytest.raises(superlink.CoordinatorError, match=r"not valid for 127\.0\.0\.1"):
        superlink.run(options(keys))


def test_nodes_and_the_researcher_have_ports_of_their_own(keys):
    with pytest.raises(superlink.CoordinatorError, match="both 8000"):
        superlink.run(options(keys, control_port=8000))


@pytest.mark.parametrize("name", superlink.OTHER_DOORS)
def test_flowers_other_ports_stay_shut(keys, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    with pytest.raises(superlink.CoordinatorError, match=name):
        superlink.run(options(keys))


@pytest.fixture(params=["memory", "file"])
def state(request, tmp_path):
    database = ":flwr-in-memory:" if request.param == "memory" else str(tmp_path / "state.db")
    store = ObjectStoreFactory(database)
    return LinkStateFactory(database, NoOpFederationManager(), store).state()


def listed(state):
    return {node.name for node in state.get_node_info() if node.status != "unregistered"}


def test_the_list_decides_who_is_registered(state, made):
    keys = read_node_keys(made / "nodes")
    first = superlink.admit(state, keys)
    assert sorted(first.values()) == [0, 1]
    assert superlink.admit(state, keys) == first, "a restart gives the same nodes"
    state.create_node("somebody", "else", b"a key that no file holds", 30, name="stranger")
    (left,) = superlink.admit(state, keys[:1])
    assert first[left] == 0
    assert listed(state) == {"node-0"}
    assert state.get_node_id_by_public_key(keys[1].public) is None


def test_a_key_that_was_removed_does_not_come_back(state, made):
    keys = read_node_keys(made / "nodes")
    superlink.admit(state, keys)
    superlink.admit(state, keys[:1])
    with pytest.raises(superlink.CoordinatorError, match=r"node-1\.pub: the key was removed"):
        superlink.admit(state, keys)


def node(folder, keys, **changes):
    (folder / "mine.npz").write_bytes(b"")
    given = {"root_certificates": keys / "ca.crt", "key": keys / "node-0", "data": folder / "mine.npz"}
    budget = dict.fromkeys(("privacy_epsilon", "privacy_delta", "privacy_ledger"))
    given |= {"superlink": "127.0.0.1:8000", "partition": 0, "takes": None, "own_modules": []}
    return argparse.Namespace(**{**budget, **given, **changes})


def test_a_node_runs_apps_by_the_executor_alone(keys, tmp_path):
    supernode.check(node(tmp_path, keys))
    given = supernode.flower_options(node(tmp_path, keys, partition=3), "127.0.0.1:4711", "/dev/fd/9")
    text = " ".join(given)
    assert "--isolation process --superexec-auth-secret-file /dev/fd/9" in text
    assert "--host 127.0.0.1 --port 4711" in text
    assert given[-1] == f"partition-id=3 data-path='{tmp_path / 'mine.npz'}'"
    assert "--insecure" not in given


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": Path("/none")}, "no such file"),
        ({"data": Path("/none")}, "no such file"),
        ({"root_certificates": Path("/none")}, "no such file"),
        ({"partition": -1}, "--partition -1"),
        ({"takes": "28 x 28 x 1, 2 classes' partition-id='1"}, "--takes .* such as"),
    ],
)
def test_a_node_without_its_files_does_not_start(keys, tmp_path, changes, reason):
    with pytest.raises(supernode.NodeError, match=reason):
        supernode.check(node(tmp_path, keys, **changes))


def test_a_node_whose_key_others_may_read_does_not_start(keys, tmp_path):
    (keys / "node-0").chmod(0o644)
    with pytest.raises(supernode.NodeError, match="chmod 600"):
        supernode.check(node(tmp_path, keys))


def test_a_data_path_cannot_carry_further_settings(keys, tmp_path):
    odd = tmp_path / "x' partition-id=1 y='"
    odd.write_bytes(b"")
    with pytest.raises(supernode.NodeError, match="apostrophes"):
        supernode.check(node(tmp_path, keys, data=odd))


def test_a_secret_is_read_once_and_never_on_disk():
    path = supernode.readable(b"\x00\n" * 32)
    assert Path(path).read_bytes() == b"\x00\n" * 32
    assert Path(path).read_bytes() == b""
    os.close(int(path.rpartition("/")[2]))


def spec(task):
    return ExecutionSpec(task, "127.0.0.1:1", "token", True, None, False, None, False, 1)


@pytest.mark.parametrize("name", app.APPS)
def test_an_executor_takes_one_kind_of_task(name):
    apps = executor.InstalledApps(name)
    own = TaskType(f"flwr-{name}")
    assert apps.get_eligible_capacity(set(TaskType)) == ({own}, set())
    assert apps.get_eligible_capacity(set(TaskType) - {own}) == (set(), set())
    for task in set(TaskType) - {own}:
        assert apps.launch(spec(task)).status == LaunchResultStatus.FAILED


def test_where_flower_has_no_such_function_nothing_runs():
    with pytest.raises(RuntimeError, match="has no no_such_name"):
        app.replace(os, "no_such_name", print)


def test_the_servers_app_does_not_run_where_nobody_is_listed(monkeypatch):
    monkeypatch.delenv(ADMITTED, raising=False)
    with pytest.raises(RuntimeError, match=r"deployment\.superlink"):
        app.serverapp()


def test_two_clients_with_one_key_are_refused_by_name(tmp_path, made):
    line = (made / "nodes" / "node-0.pub").read_bytes()
    for name in ("a-0", "b-1"):
        (tmp_path / f"{name}.pub").write_bytes(line)
    with pytest.raises(KeyListError, match=r"b-1\.pub.*a-0\.pub"):
        read_node_keys(tmp_path)


def test_a_node_is_told_the_modules_that_its_site_allows(tmp_path, keys):
    given = supernode.flower_options(
        node(tmp_path, keys, own_modules=["mine", "ours.recipes"]), "127.0.0.1:1", "f"
    )
    assert given[-1].endswith("own-modules='mine,ours.recipes'")
    for strange in ("mine' partition-id=3", "a-b", "", "mine."):
        with pytest.raises(supernode.NodeError, match="name an installed module"):
            supernode.check(node(tmp_path, keys, own_modules=[strange]))
