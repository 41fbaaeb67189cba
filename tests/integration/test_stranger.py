"""A stranger has the ports and `ca.crt`, no key and no account, and tries every call there is.

The calls are taken from Flower's own routes and service descriptors: one that a later version adds is tried, too.
"""

import hashlib
import importlib
import pkgutil
import socket
import ssl
import subprocess
import sys
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

import flwr.proto
import grpc
import httpx
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key
from fastapi.routing import iter_route_contexts
from federation import PROJECT, environment, foreign_app, free_ports, process, wait_for
from flwr.proto import control_pb2, fleet_pb2, runtime_pb2
from flwr.proto.fab_pb2 import Fab
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, Message, Metadata, ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.supercore.date import now
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from flwr.superlink.main import create_app
from google.protobuf import symbol_database

PROTOBUF = {"content-type": "application/protobuf", "accept": "application/protobuf"}
"""As Flower's own clients send it."""


def flower_paths() -> set[str]:
    """Return every path that Flower's SuperLink answers on."""
    paths = {getattr(context.route, "path", "") for context in iter_route_contexts(create_app().routes)}
    return paths | {path for _, path in PROTOBUF_REQUEST_TYPES}


def grpc_methods() -> list[str]:
    """Return every gRPC method that Flower describes."""
    for module in pkgutil.iter_modules(flwr.proto.__path__):
        if module.name.endswith("_pb2"):
            importlib.import_module(f"flwr.proto.{module.name}")
    pool = symbol_database.Default().pool
    methods = []
    for path in pkgutil.iter_modules(flwr.proto.__path__):
        if path.name.endswith("_pb2"):
            file = pool.FindFileByName(f"flwr/proto/{path.name.removesuffix('_pb2')}.proto")
            for service in file.services_by_name.values():
                methods += [f"/{service.full_name}/{method.name}" for method in service.methods]
    return methods


class Coordinator:
    """A SuperLink of this project with two admitted nodes, and who talks to it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.keys = folder / "keys"
        self.port, self.control = free_ports(2)
        self.log = folder / "superlink.log"
        self.verified = ssl.create_default_context(cafile=self.keys / "ca.crt")
        self.token = (self.keys / "account.token").read_text().strip()

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "fedrobust.deployment.superlink", str(self.keys)),
            *("--host", "127.0.0.1", "--port", str(self.port), "--control-port", str(self.control)),
        ]

    def call(self, port, path, body=b"", method="POST", **headers):
        with httpx.Client(verify=self.verified, timeout=20) as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            url = f"https://127.0.0.1:{port}{path}"
            return client.request(method, url, content=body, headers={**PROTOBUF, **named})

    def as_account(self, path, request, answer):
        found = self.call(
            self.control, path, request.SerializeToString(), authorization=f"Bearer {self.token}"
        )
        assert found.status_code == 200, found.text
        parsed = answer()
        parsed.ParseFromString(found.content)
        return parsed

    def nodes(self):
        listed = self.as_account(
            "/v1/control/list-nodes", control_pb2.ListNodesRequest(), control_pb2.ListNodesResponse
        )
        return {(node.name, node.status) for node in listed.nodes_info}

    def runs(self):
        listed = self.as_account(
            "/v1/control/list-runs", control_pb2.ListRunsRequest(), control_pb2.ListRunsResponse
        )
        return dict(listed.run_dict)

    def ready(self):
        try:
            return self.call(self.control, "/health", method="GET").status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coordinator")
    made = [
        sys.executable,
        str(PROJECT / "experiments/deployment/certificates.py"),
        str(folder / "keys"),
        "--nodes=2",
    ]
    subprocess.run(made, check=True, capture_output=True)
    found = Coordinator(folder)
    with process(found.log, found.command(), folder / "home"):
        wait_for(found.ready, "SuperLink", found.log)
        yield found


@pytest.fixture(autouse=True)
def nothing_changed(coordinator):
    """After every test the two nodes are as they were, and no run was ever made."""
    yield
    assert coordinator.nodes() == {("node-0", "registered"), ("node-1", "registered")}
    assert coordinator.runs() == {}


def bodies(path: str) -> list[bytes]:
    """Return what a stranger sends to a path: nothing, noise, an empty request, and one with every field guessed."""
    kind = PROTOBUF_REQUEST_TYPES.get(("POST", path))
    guessed = []
    if kind is not None:
        request = kind()
        for field in request.DESCRIPTOR.fields:
            simple = not field.is_repeated and field.message_type is None and field.enum_type is None
            if simple:
                text = field.type in (field.TYPE_STRING, field.TYPE_BYTES)
                value = b"1" if field.type == field.TYPE_BYTES else "1" if text else 1
                setattr(request, field.name, value)
            elif field.name == "node":
                request.node.CopyFrom(Node(node_id=1))
        guessed = [request.SerializeToString()]
    return [b"", b"\xff" * 40, *guessed]


def stranger_headers():
    """Return what a stranger puts in the head of a request: name -> headers."""
    key = ec.generate_private_key(ec.SECP384R1())
    return {
        "nothing": {},
        "own key": signed(key),
        "made-up token": {"authorization": "Bearer " + "0" * 64},
        "empty token": {"authorization": "Bearer"},
        "basic": {"authorization": "Basic YWRtaW46YWRtaW4="},
        "task token": {"flwr-app-token": "0" * 64, "authorization": "Bearer 1"},
        "forwarded": {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "https", "host": "127.0.0.1:9000"},
        "strange host": {"host": "a/?b"},
    }


def signed(key, claimed=None, at=None):
    timestamp = at or now().isoformat()
    public = claimed or public_key_to_bytes(key.public_key())
    return {
        "flwr_public_key": b64encode(public).decode(),
        "flwr_timestamp": timestamp,
        "flwr_signature": b64encode(sign_message(key, timestamp.encode())).decode(),
    }


OPEN = {"/health"}
"""What tells nothing and changes nothing."""


def test_every_path_of_flower_is_refused_on_both_ports(coordinator):
    paths = flower_paths()
    assert {path.split("/")[2] for path in paths if path.startswith("/v1/")} >= {
        "control",
        "fleet",
        "runtime",
    }
    assert len(paths) > 70
    let_in = []
    with httpx.Client(verify=coordinator.verified, timeout=20) as client:
        for port in (coordinator.port, coordinator.control):
            for who, headers in stranger_headers().items():
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                for path in sorted(paths):
                    # Every body without credentials; one is enough where these decide.
                    sent = bodies(path) if who == "nothing" else bodies(path)[-1:]
                    for body in sent:
                        url = f"https://127.0.0.1:{port}{path}"
                        answer = client.post(url, content=body, headers={**PROTOBUF, **named})
                        if answer.status_code < 400:
                            let_in.append((port, who, path, answer.status_code))
    assert [entry for entry in let_in if entry[2] not in OPEN] == []
    assert all(port == coordinator.control for port, _, _, _ in let_in)


def test_no_other_method_of_http_is_answered(coordinator):
    paths = sorted(flower_paths() - OPEN)
    for place, method in enumerate(("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")):
        for path in paths[place::7]:
            for port in (coordinator.port, coordinator.control):
                assert coordinator.call(port, path, method=method).status_code >= 400


def test_no_grpc_method_is_answered(coordinator):
    methods = grpc_methods()
    assert len(methods) > 50
    authority = grpc.ssl_channel_credentials((coordinator.keys / "ca.crt").read_bytes())
    for port in (coordinator.port, coordinator.control):
        with grpc.secure_channel(f"127.0.0.1:{port}", authority) as channel:
            for method in methods:
                with pytest.raises(grpc.RpcError):
                    channel.unary_unary(method)(b"", timeout=5)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError):
            channel.unary_unary(methods[0])(b"", timeout=5)


def test_no_other_port_is_open_but_the_two(coordinator):
    own = {coordinator.port, coordinator.control}
    listening = {
        connection.laddr.port
        for each in psutil.process_iter()
        if str(coordinator.keys) in " ".join(_command(each))
        for connection in each.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == own


def _command(each):
    try:
        return each.cmdline()
    except psutil.Error:
        return []


def test_a_stranger_registers_no_node_and_starts_no_run(coordinator, tmp_path):
    marker = tmp_path / "marker"
    content = foreign_app(tmp_path / "app", marker)
    fab = Fab(hash_str=hashlib.sha256(content).hexdigest(), content=content)
    key = ec.generate_private_key(ec.SECP384R1())
    public = public_key_to_bytes(key.public_key())
    crafted = {
        "/v1/control/start-run": control_pb2.StartRunRequest(fab=fab),
        "/v1/control/register-node": control_pb2.RegisterNodeRequest(public_key=public, name="stranger"),
        "/v1/fleet/register-node": fleet_pb2.RegisterNodeFleetRequest(public_key=public),
        "/v1/fleet/activate-node": fleet_pb2.ActivateNodeRequest(public_key=public, heartbeat_interval=30),
        "/v1/runtime/acquire-task": runtime_pb2.AcquireTaskRequest(supported_task_types=["flwr-serverapp"]),
    }
    for path, request in crafted.items():
        for port in (coordinator.port, coordinator.control):
            for headers in ({}, signed(key), {"authorization": "Bearer " + "f" * 64}):
                assert coordinator.call(port, path, request.SerializeToString(), **headers).status_code >= 400
    assert not marker.exists()


@pytest.mark.slow
def test_flowers_own_commands_do_not_let_a_stranger_in(coordinator, tmp_path):
    marker = tmp_path / "marker"
    foreign_app(tmp_path / "app", marker)
    home = tmp_path / "home"
    (home / ".flwr").mkdir(parents=True)
    for port in (coordinator.port, coordinator.control):
        (home / ".flwr" / "config.toml").write_text(
            f'[superlink]\ndefault = "x"\n[superlink.x]\naddress = "127.0.0.1:{port}"\n'
            f'root-certificates = "{coordinator.keys / "ca.crt"}"\n'
        )
        public = str(coordinator.keys / "nodes" / "node-0.pub")
        for command in (
            ["run", str(tmp_path / "app"), "x"],
            ["supernode", "register", public, "x"],
        ):
            done = subprocess.run(
                ["flwr", *command],
                env=environment(home),
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert done.returncode != 0, done.stdout
            assert "Invalid Flower App" not in done.stdout + done.stderr, "it is the SuperLink that refuses"
    assert not marker.exists()


def test_an_admitted_public_key_is_worth_nothing_without_the_private_one(coordinator):
    known = load_ssh_public_key((coordinator.keys / "nodes" / "node-0.pub").read_bytes())
    public = public_key_to_bytes(known)
    request = fleet_pb2.ActivateNodeRequest(public_key=public, heartbeat_interval=30).SerializeToString()
    own = ec.generate_private_key(ec.SECP384R1())
    for headers in (signed(own, claimed=public), signed(own)):
        assert (
            coordinator.call(coordinator.port, "/v1/fleet/activate-node", request, **headers).status_code
            == 401
        )


def test_what_an_admitted_node_sent_cannot_be_sent_again(coordinator):
    key = load_ssh_private_key((coordinator.keys / "node-0").read_bytes(), None)
    public = public_key_to_bytes(key.public_key())
    # Out of Flower's bounds: answered by Flower, and nothing changes.
    request = fleet_pb2.ActivateNodeRequest(public_key=public, heartbeat_interval=-1).SerializeToString()
    headers = signed(key)
    path = "/v1/fleet/activate-node"
    assert coordinator.call(coordinator.port, path, request, **headers).status_code not in (401, 404)
    assert coordinator.call(coordinator.port, path, request, **headers).status_code == 401
    stale = signed(key, at="2026-01-01T00:00:00+00:00")
    assert coordinator.call(coordinator.port, path, request, **stale).status_code == 401


def test_an_admitted_node_reaches_nothing_but_the_fleet(coordinator):
    key = load_ssh_private_key((coordinator.keys / "node-0").read_bytes(), None)
    for path in sorted(flower_paths() - OPEN):
        if not path.startswith("/v1/fleet/"):
            assert coordinator.call(coordinator.port, path, **signed(key)).status_code == 404
            assert coordinator.call(coordinator.control, path, **signed(key)).status_code >= 400


def test_an_admitted_node_cannot_act_for_another_or_register_more(coordinator):
    key = load_ssh_private_key((coordinator.keys / "node-0").read_bytes(), None)
    other = load_ssh_public_key((coordinator.keys / "nodes" / "node-1.pub").read_bytes())
    for public in (
        public_key_to_bytes(other),
        public_key_to_bytes(ec.generate_private_key(ec.SECP384R1()).public_key()),
    ):
        for path, request in {
            "/v1/fleet/activate-node": fleet_pb2.ActivateNodeRequest(
                public_key=public, heartbeat_interval=30
            ),
            "/v1/fleet/register-node": fleet_pb2.RegisterNodeFleetRequest(public_key=public),
        }.items():
            answer = coordinator.call(coordinator.port, path, request.SerializeToString(), **signed(key))
            assert answer.status_code >= 400


def test_an_admitted_node_cannot_reply_in_anothers_name_or_confirm_its_messages(coordinator):
    listed = coordinator.as_account(
        "/v1/control/list-nodes", control_pb2.ListNodesRequest(), control_pb2.ListNodesResponse
    )
    ids = {node.name: node.node_id for node in listed.nodes_info}
    key = load_ssh_private_key((coordinator.keys / "node-0").read_bytes(), None)
    own = Node(node_id=ids["node-0"])

    def answer(path, request):
        return coordinator.call(
            coordinator.port, path, request.SerializeToString(), **signed(key)
        ).status_code

    forged = Message(metadata=Metadata(run_id=1, src_node_id=ids["node-1"], reply_to_message_id="a" * 64))
    push = fleet_pb2.PushMessagesRequest(
        node=own, messages_list=[forged], message_object_trees=[ObjectTree()]
    )
    assert answer("/v1/fleet/push-messages", push) == 403
    forged.metadata.src_node_id = ids["node-0"]
    push = fleet_pb2.PushMessagesRequest(
        node=own, messages_list=[forged], message_object_trees=[ObjectTree()]
    )
    assert answer("/v1/fleet/push-messages", push) == 403, "it was sent no message"
    confirm = ConfirmMessageReceivedRequest(node=own, run_id=1, message_object_id="a" * 64)
    assert answer("/v1/fleet/confirm-message-received", confirm) == 403
    log = coordinator.log.read_text()
    assert "a reply in the name of another node" in log
    assert "it answers a message that it was not sent" in log


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_only_tls_is_spoken(coordinator, version):
    for port in (coordinator.port, coordinator.control):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            plain.sendall(b"POST /v1/control/list-runs HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            with suppress(ConnectionError):
                assert b"200" not in plain.recv(1000)
        context = ssl.create_default_context(cafile=coordinator.keys / "ca.crt")
        context.minimum_version = context.maximum_version = version
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as secure,
        ):
            assert secure.version() == version.name.replace("TLSv1_", "TLSv1.")


def test_another_authority_is_not_believed(coordinator, tmp_path):
    made = [sys.executable, str(PROJECT / "experiments/deployment/certificates.py"), str(tmp_path / "keys")]
    subprocess.run(made, check=True, capture_output=True)
    other = ssl.create_default_context(cafile=tmp_path / "keys" / "ca.crt")
    for port in (coordinator.port, coordinator.control):
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            httpx.post(f"https://127.0.0.1:{port}/v1/fleet/pull-messages", verify=other)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_the_certificate_is_valid_for_this_machine(coordinator, name):
    answer = httpx.get(f"https://{name}:{coordinator.control}/health", verify=coordinator.verified)
    assert answer.status_code == 200


def test_what_was_refused_is_in_the_log(coordinator):
    coordinator.call(coordinator.port, "/v1/control/start-run")
    assert "refused POST '/v1/control/start-run'" in coordinator.log.read_text()


def test_the_account_is_answered(coordinator):
    assert coordinator.nodes() == {("node-0", "registered"), ("node-1", "registered")}
