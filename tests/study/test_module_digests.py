"""The source of own modules is part of what a cell is; studies that name none keep their hash."""

import sys

import pytest

from fedrobust.config import Experiment
from fedrobust.study import Study
from fedrobust.study.module_digests import module_digests
from fedrobust.sweeps.cell import MODULES, content_hash, content_of
from fedrobust.sweeps.shared_rounds import fork_key
from fedrobust.sweeps.sweep import Sweep

RULE = "class Rule:\n    def __call__(self, updates, context):\n        return updates\n"
ATTACK = "class Boom:\n    def update(self, update, context):\n        return -update\n"


def cell(folder, **settings):
    values = {"data.samples": 60, "federation.clients": 4, **settings}
    return Sweep.of("one", values, base=folder).cells[0].experiment


def test_a_changed_own_rule_is_another_cell_and_another_file_is_not(tmp_path):
    path = tmp_path / "digested_rule.py"
    hashes = []
    for text in (RULE, RULE + "# changed\n", RULE):
        path.write_text(text)
        (tmp_path / "beside.py").write_text(text)
        hashes.append(content_hash(cell(tmp_path, **{"federation.aggregator": "digested_rule:Rule"})))
    assert hashes[0] == hashes[2] != hashes[1]
    assert "digested_rule" not in sys.modules, "it is not imported"


@pytest.mark.parametrize(
    "text",
    [
        "own.deep.ideas:Boom",
        "own.deep.ideas:Boom(scale=2.0) + scaling",
        "clipping(rule='own.deep.ideas:Boom')",
    ],
)
def test_modules_of_packages_are_found_in_any_form_of_a_name(tmp_path, text):
    (tmp_path / "own" / "deep").mkdir(parents=True)
    (tmp_path / "own" / "deep" / "ideas.py").write_text(ATTACK)
    found = module_digests({"poisoning.attack": text, "federation.pre-aggregators": ["nnm", text]}, tmp_path)
    assert set(found) == {"poisoning.attack", "federation.pre-aggregators"}
    assert len(set(found.values())) == 1


@pytest.mark.parametrize(
    "text",
    [
        "keras:EfficientNetV2B0",
        "flower:FedAvg",
        "__main__:Rule",
        "no_such_module_here:Rule",
        "fedrobust.aggregation:Mean",
        "https://example.org/a.npz",
        "0, 1: scaling(gain=2.0)",
    ],
)
def test_other_names_with_a_colon_have_none(text, tmp_path):
    assert module_digests({"model.name": text}, tmp_path) == {}


def test_studies_without_own_modules_keep_their_content():
    assert MODULES not in content_of(Experiment.of(data__samples=60))


def test_cells_of_other_later_attacks_share_the_rounds_before_them(tmp_path):
    (tmp_path / "digested_attack.py").write_text(ATTACK)
    later = {"federation.rounds": 4, "poisoning.malicious": 1, "poisoning.first-round": 3}
    keys = {
        fork_key(Study.of(cell(tmp_path, **later, **{"poisoning.attack": attack})))
        for attack in ("digested_attack:Boom", "sign-flip")
    }
    assert len(keys) == 1
    assert keys != {""}
