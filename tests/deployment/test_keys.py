"""Which keys are admitted, and which client each stands for, is read from files; what is unclear is refused."""

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from flwr.supercore.primitives.asymmetric import bytes_to_public_key, public_key_to_bytes

from fedrobust.deployment.keys import ADMITTED, KeyListError, admitted_nodes, read_node_keys


def line(key):
    ssh = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(*ssh) + b" somebody@somewhere\n"


def elliptic():
    return ec.generate_private_key(ec.SECP384R1())


def test_a_name_ends_in_the_client_that_the_key_stands_for(tmp_path):
    own = {name: elliptic() for name in ("st-elsewhere-2", "10", "ward7_0", "node-01")}
    for name, key in own.items():
        (tmp_path / f"{name}.pub").write_bytes(line(key))
    (tmp_path / "notes.txt").write_text("not a key")
    read = read_node_keys(tmp_path)
    assert [(key.partition, key.name) for key in read] == [
        (0, "ward7_0"),
        (1, "node-01"),
        (2, "st-elsewhere-2"),
        (10, "10"),
    ]
    assert [key.public for key in read] == [public_key_to_bytes(own[key.name].public_key()) for key in read]
    assert bytes_to_public_key(read[0].public) == own["ward7_0"].public_key()


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "no .pub file"),
        ({"node.pub": elliptic()}, "does not end in a number"),
        ({"node-1x.pub": elliptic()}, "does not end in a number"),
        ({"node--.pub": elliptic()}, "does not end in a number"),
        ({"node-1.pub": elliptic(), "other-1.pub": elliptic()}, "every client of the study has one key"),
        ({"node-1.pub": elliptic(), "node-01.pub": elliptic()}, "every client of the study has one key"),
        (dict.fromkeys(("node-1.pub", "node-2.pub"), elliptic()), "every client of the study has one key"),
        ({"node-1.pub": ed25519.Ed25519PrivateKey.generate()}, "not an elliptic-curve key"),
        ({"node-1.pub": rsa.generate_private_key(65537, 2048)}, "not an elliptic-curve key"),
        ({"node-1.pub": b"ssh-rsa AAAA"}, "not a public key"),
        ({"node-1.pub": b""}, "not a public key"),
        ({"node-1.pub": b"\xff\xfe\x00"}, "not a public key"),
    ],
)
def test_what_is_unclear_is_refused(tmp_path, files, reason):
    for name, key in files.items():
        (tmp_path / name).write_bytes(key if isinstance(key, bytes) else line(key))
    with pytest.raises(KeyListError, match=reason):
        read_node_keys(tmp_path)


def test_a_private_key_in_the_folder_is_refused(tmp_path):
    (tmp_path / "node-0.pub").write_bytes(
        elliptic().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    )
    with pytest.raises(KeyListError, match="not a public key"):
        read_node_keys(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(KeyListError, match=r"no \.pub file"):
        read_node_keys(tmp_path / "none")


def test_without_a_coordinator_nobody_is_asked_for_a_key(monkeypatch):
    monkeypatch.delenv(ADMITTED, raising=False)
    assert admitted_nodes() is None


def test_the_coordinators_list_is_read(monkeypatch, tmp_path):
    path = tmp_path / "admitted.json"
    path.write_text(json.dumps({2**64 - 1: 0, 7: 1}))
    monkeypatch.setenv(ADMITTED, str(path))
    assert admitted_nodes() == {2**64 - 1: 0, 7: 1}


@pytest.mark.parametrize("content", [None, "", "[]", "7", '{"node": 0}', '{"1": null}', '{"1": "x"}', "{"])
def test_a_list_that_cannot_be_read_admits_nobody(monkeypatch, tmp_path, content):
    path = tmp_path / "admitted.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(ADMITTED, str(path))
    with pytest.raises(KeyListError, match="cannot be read"):
        admitted_nodes()
