"""How packages stand on one another: floors, no circles, imports in functions for a reason."""

import re
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def house():
    """The program that measures the structure of the code."""
    sys.path.insert(0, str(PROJECT / "experiments/benchmarks"))
    import house

    yield house
    sys.path.remove(str(PROJECT / "experiments/benchmarks"))
    sys.modules.pop("house")


def built(house, folder, **modules):
    """Return a small project: names with ``__`` for dots, texts with imports."""
    for name, text in modules.items():
        path = folder / "fedrobust" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return house.House(folder)


@pytest.fixture(scope="module")
def ours(house):
    return house.House(PROJECT)


def test_no_modules_and_no_packages_import_one_another_in_a_circle(ours):
    assert ours.circles() == []


def test_nothing_is_imported_from_a_floor_above(house, ours):
    assert [room for room in ours.rooms() if house.floor(room) == len(house.FLOORS)] == [], "it needs a floor"
    assert [f"{one.source}:{one.line} imports {one.target}" for one in ours.upward()] == []


def test_the_library_imports_no_app():
    """The wheel has the apps elsewhere, and a user may have a `server.py` or `clients.py`."""
    package = PROJECT / "fedrobust"
    found = [
        f"{path.relative_to(package)}:{number}"
        for path in package.rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.match(r"\s*(from|import) (clients|server)\b", line)
    ]
    assert found == []


SUMS_OF_BLAS = re.compile(r"np\.(linalg\.norm|dot|vdot|inner|tensordot)\(")


def test_what_is_sent_and_aggregated_is_summed_without_blas():
    """Its last bits depend on its number of threads: `fedrobust.vectors` and `inner_products` have none such."""
    folders = (
        "fedrobust/aggregation",
        "fedrobust/poisoning",
        "fedrobust/privacy",
        "fedrobust/algorithms",
        "server",
    )
    found = [
        f"{path.relative_to(PROJECT)}:{number}"
        for folder in folders
        for path in (PROJECT / folder).rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if SUMS_OF_BLAS.search(line)
    ]
    assert found == []
    assert SUMS_OF_BLAS.search("float(np.linalg.norm(update))"), "or nothing would be found"


def test_families_know_neither_config_nor_study(ours):
    families = ("aggregation", "poisoning", "evasion", "training", "evaluation", "data", "models")
    assert not [
        f"{one.source}:{one.line} imports {one.target}"
        for one in ours.own
        if one.source.startswith(tuple(f"fedrobust.{family}" for family in families))
        and one.target.startswith(("fedrobust.config", "fedrobust.study"))
    ]


def test_attacks_on_models_compute_without_tensorflow(ours):
    """They ask a `TargetModel` for answers and gradients; only what makes one of a network knows TensorFlow."""
    attacks = [one for one in ours.imports if one.source.startswith("fedrobust.evasion.attacks")]
    assert len(attacks) > 100, "the attacks are elsewhere"
    assert not [one for one in attacks if one.target.split(".")[0] in ("tensorflow", "keras")]


def test_imports_inside_of_functions_keep_a_slow_package_out_and_say_so(ours):
    assert [f"{one.source}:{one.line} imports {one.target}" for one in ours.hidden()] == []
    assert [f"{one.source}:{one.line} imports {one.target}" for one in ours.unexplained()] == []


def test_every_floor_is_inhabited(house, ours):
    names = " ".join(house.FLOORS).split()
    assert len(names) == len(set(names))
    assert set(names) == ours.rooms()


def test_a_circle_is_seen_through_functions_and_between_packages(house, tmp_path):
    small = built(
        house,
        tmp_path,
        data__load="from fedrobust.models import layout",
        models__layout="def late():\n    from fedrobust.data import load",
        models__other="",
    )
    assert small.circles() == [["fedrobust.data.load", "fedrobust.models.layout"], ["data", "models"]]


def test_an_import_from_above_is_seen_and_one_for_the_type_checker_is_not(house, tmp_path):
    small = built(
        house,
        tmp_path,
        data__load="from fedrobust.study import parts",
        data__npz="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fedrobust.study import parts",
        study__parts="from fedrobust.data import load",
    )
    assert [(one.source, one.target) for one in small.upward()] == [
        ("fedrobust.data.load", "fedrobust.study.parts")
    ]


def test_an_import_in_a_function_that_keeps_nothing_out_is_seen(house, tmp_path):
    small = built(
        house,
        tmp_path,
        data__slow="import tensorflow",
        data__quick="import math",
        data__load="def late():\n    from fedrobust.data import quick, slow",
        data__told="def late():\n    # TensorFlow takes ten seconds.\n    from fedrobust.data import slow",
    )
    assert [one.target for one in small.hidden()] == ["fedrobust.data.quick"]
    assert {one.source for one in small.unexplained()} == {"fedrobust.data.load"}


def test_repeated_blocks_are_found_once_and_however_long(house, tmp_path):
    block = "\n".join(f"    step{number}()" for number in range(8))
    small = built(
        house, tmp_path, one=f"def one():\n{block}\n    end()", other=f"\n\ndef other():\n{block}\n    stop()"
    )
    assert small.repeated() == [("fedrobust.one:2", "fedrobust.other:4")]


def test_whole_studies_are_counted(house, tmp_path):
    small = built(house, tmp_path, one="def one(experiment: Experiment): ...\ndef other(data: Data): ...")
    assert small.whole_studies() == ["fedrobust.one.one"]


@pytest.mark.slow
@pytest.mark.parametrize("study", ["plain mean", "Multi-Krum against label flipping"])
def test_at_most_fifteen_files_orchestrate_a_round(house, study):
    import round_stops

    stops = round_stops.counted(round_stops.STUDIES[study])
    assert len(stops.orchestration) <= 15, stops.orchestration
    assert {"server/rounds.py", "clients/client.py"} <= set(stops.orchestration)
