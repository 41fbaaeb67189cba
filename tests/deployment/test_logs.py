"""Errors in the logs of server and sites, and the names of sites in the server's record."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from deployed import study

from fedrobust.data.dataset import DataError
from fedrobust.data.site_error import told_server
from fedrobust.deployment.app import in_sentences
from fedrobust.deployment.keys import SITES, NodeKey, read_node_keys
from fedrobust.errors import FedrobustError
from server.client_images import known_here
from server.client_registry import ClientRegistry
from server.sites import sites_record


def test_an_error_of_this_project_is_logged_as_its_sentence_and_others_with_their_traceback():
    logged = []
    log = in_sentences(lambda level, text, *rest, **options: logged.append((level, text % rest, options)))
    log(
        logging.ERROR,
        "%s raised an exception",
        "ClientApp",
        exc_info=FedrobustError("x.npz:\x1b[31m no such file"),
    )
    other = ValueError("?")
    log(logging.ERROR, "%s raised an exception", "ClientApp", exc_info=other)
    for cause in (DataError("labels go up to 6"), other):
        withheld = told_server(cause)
        withheld.__cause__ = cause
        log(logging.ERROR, "%s raised an exception", "ClientApp", exc_info=withheld)
    log(logging.INFO, "started")
    assert logged == [
        (logging.ERROR, "x.npz: no such file", {}),
        (logging.ERROR, "ClientApp raised an exception", {"exc_info": other}),
        (logging.ERROR, "labels go up to 6", {}),
        (logging.ERROR, "ClientApp raised an exception", {"exc_info": other}),
        (logging.INFO, "started", {"exc_info": None}),
    ]


@pytest.mark.parametrize(
    ("client", "name", "site"),
    [(0, "bern-0", "bern"), (10, "st-elsewhere-10", "st-elsewhere"), (1, "node_1", "node"), (3, "3", "3")],
)
def test_a_site_is_called_by_its_key_without_its_number(client, name, site):
    assert NodeKey(client, name, b"").site == site


def registry():
    return ClientRegistry(np.array([0, 2]), {0: 70, 2: 90}, np.array([28, 36]), 0.1, 10**6)


def test_the_record_has_every_admitted_site_and_the_images_of_those_that_take_part(deployed, monkeypatch):
    nodes = read_node_keys(deployed.server.keys / "nodes")
    monkeypatch.setenv(SITES, json.dumps({node.partition: node.site for node in nodes}))
    found = [(site.client, site.name, site.images) for site in sites_record(registry())]
    assert found == [(0, "bern", 28), (1, "chur", None), (2, "genf", 36)]
    before = [(site.name, site.images) for site in sites_record()]
    assert before == [("bern", None), ("chur", None), ("genf", None)]


def test_a_simulation_has_no_sites(monkeypatch):
    monkeypatch.delenv(SITES, raising=False)
    assert sites_record(registry()) is None


def test_the_server_of_a_deployment_does_not_count_the_sites_classes_in_its_own_images(data, monkeypatch):
    monkeypatch.delenv(SITES, raising=False)
    simulated = SimpleNamespace(experiment=study(data), problem=SimpleNamespace(multilabel=False))
    assert known_here(simulated, most=10)
    assert not known_here(simulated, most=2)
    monkeypatch.setenv(SITES, '{"0": "bern"}')
    assert not known_here(simulated, most=10)
