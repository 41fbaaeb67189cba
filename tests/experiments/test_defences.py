"""The table of defences: its cells, and its page from the records."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedrobust.config.resolve_training import recipe_of
from fedrobust.figures.of_audited import points

HERE = Path(__file__).resolve().parents[2] / "experiments/defences"


@pytest.fixture(scope="module")
def table():
    sys.path.insert(0, str(HERE))
    import cells
    import overview
    import prediction
    import records
    import write

    yield SimpleNamespace(cells=cells, overview=overview, prediction=prediction, records=records, write=write)
    sys.path.remove(str(HERE))
    for name in ("cells", "overview", "prediction", "records", "write"):
        sys.modules.pop(name, None)


def test_every_cell_is_the_study_of_its_data_set_with_its_defence(table):
    protocol = table.cells.Protocol(epsilon="2/255", effort="full", images=50, rounds=7)
    place = table.cells.Place("pneumoniamnist", "Dirichlet 0.5", "AdvProp", 2)
    study = table.cells.experiment(place, protocol, HERE.parent)
    assert recipe_of(study.training).epsilon == "2/255"
    assert (study.federation.rounds, study.evaluation.every, study.seed) == (7, 7, 2)
    assert (study.audit.epsilon, study.audit.effort, study.audit.images) == ("2/255", "full", 50)
    assert (study.data.partition, study.model.weights) == ("dirichlet(alpha=0.5)", "imagenet")
    assert place.name == "pneumoniamnist/Dirichlet 0.5/AdvProp/2"
    jpeg = table.cells.experiment(
        table.cells.Place("breastmnist", "central", "JPEG", 0), protocol, HERE.parent
    )
    assert (jpeg.federation.clients, jpeg.model.defence) == (1, "jpeg(quality=75)")


def test_all_cells_are_different_studies_and_the_cheap_ones_come_first(table, real_data):
    chosen = table.cells.places(["pneumoniamnist"], ["iid", "central"], list(table.cells.DEFENCES), (0, 1))
    found = table.cells.cells(chosen, table.cells.Protocol(), HERE.parent)
    assert len({cell.hash for cell in found.values()}) == len(found) == 4 * len(table.cells.DEFENCES)
    passes = [table.cells.DEFENCES[place.defence].passes for place in found if place.seed == 0]
    assert passes == sorted(passes)
    assert [place.seed for place in found] == sorted(place.seed for place in found)
    assert len(table.cells.sweep(found).cells) == len(found)


def test_a_network_changes_the_study_and_its_rounds(table):
    def study(data, protocol):
        return table.cells.experiment(table.cells.Place(data, "iid", "PGD", 0), protocol, HERE.parent)

    small = table.cells.Protocol(network="edge-cnn")
    breast = study("breastmnist", small)
    assert (breast.model.name, breast.model.weights, breast.model.image_size) == ("edge-cnn", "random", 28)
    assert breast.federation.rounds == breast.evaluation.every == 100
    assert study("dermamnist_rebuilt.npz", small).federation.rounds == 20, "the study's own"
    assert study("pneumoniamnist", table.cells.Protocol()).federation.rounds == 20, "five would not converge"
    assert study("breastmnist", table.cells.Protocol()).model.name == "mobilenetv2"
    seven = table.cells.Protocol(network="edge-cnn", rounds=7)
    assert study("breastmnist", seven).federation.rounds == 7


def test_a_longer_defence_has_the_epochs_in_its_study_and_in_its_passes(table):
    def of(defence):
        place = table.cells.Place("breastmnist", "iid", defence, 0)
        return table.cells.experiment(place, table.cells.Protocol(), HERE.parent).training

    for name, short, epochs in (("PGD, 4 epochs", "PGD", 4), ("fast FGSM, 2 epochs", "fast FGSM", 2)):
        assert (of(name).recipe, of(name).epochs, of(short).epochs) == (of(short).recipe, epochs, 1)
        assert table.cells.DEFENCES[name].passes == epochs * table.cells.DEFENCES[short].passes


def test_label_smoothing_keeps_the_loss_of_the_study(table):
    def loss(data):
        place = table.cells.Place(data, "iid", "label smoothing", 0)
        return table.cells.experiment(place, table.cells.Protocol(), HERE.parent).training.loss

    assert loss("dermamnist_rebuilt.npz") == "balanced-softmax(label_smoothing=0.1)"
    assert loss("breastmnist") == "cross-entropy(label_smoothing=0.1)"


def test_a_cell_with_a_record_of_its_settings_is_not_run_again(table, monkeypatch):
    wanted = table.cells.cells(
        table.cells.places(["breastmnist"], ["iid"], ["plain", "PGD"], (0, 1)),
        table.cells.Protocol(),
        HERE.parent,
    )
    first, other, *_ = wanted
    known = {"data": first.data, "division": "iid", "defence": first.defence, "seed": first.seed}
    records = [
        {**known, "hash": wanted[first].hash},
        {**known, "seed": other.seed, "hash": "of other settings"},
    ]
    monkeypatch.setattr(table.records, "read", lambda data: records)
    assert list(table.records.unfinished(wanted)) == [place for place in wanted if place != first]


def record(defence, seed, clean, robust):
    scores = {"low": None, "high": None, "worst-class": robust - 0.1, "auc": 0.9}
    return {
        "network": "edge-cnn",
        "defence": defence,
        "seed": seed,
        "test": {**scores, "balanced": clean},
        "clean": {**scores, "balanced": clean},
        "robust": {**scores, "balanced": robust},
        "verdict": "not robust",
        "training-seconds": 10.0 * (seed + 1),
    }


def test_gain_and_cost_are_paired_by_seed(table):
    found = [
        record("plain", 0, 0.90, 0.05),
        record("plain", 1, 0.80, 0.15),
        record("PGD", 0, 0.85, 0.35),
        record("PGD", 1, 0.75, 0.45),
        record("PGD", 2, 0.10, 0.99),
    ]
    header, _, plain, pgd = (line.strip("| ").split(" | ") for line in table.write.table(found).splitlines())
    shown = dict(zip(header, pgd, strict=True))
    assert (shown["gain"], shown["cost"]) == ("30.0 (0.0)", "5.0 (0.0)"), "the third seed has no control"
    assert (shown["seeds"], shown["seconds"], shown["passes"]) == ("3", "20", "4")
    assert (plain[0], plain[1].split(" ")[0]) == ("plain", "85.0")
    assert shown["beside PGD"] == "", "it is PGD"
    fgsm = [record("fast FGSM", 0, 0.8, 0.30), record("fast FGSM", 1, 0.8, 0.44)]
    beside = dict(zip(header, table.write.row("fast FGSM", [*found, *fgsm]), strict=True))
    # Differences of -5 and -1 points: half the range, 2, by Student's t of one degree of freedom, 12.706.
    assert beside["beside PGD"] == "-3.0 (25.4)"
    alone = dict(zip(header, table.write.row("PGD", [found[0], found[2]]), strict=True))
    assert (alone["robust"], alone["gain"]) == ("35.0", "30.0")


def test_records_of_other_protocols_are_kept_apart(table):
    one = {
        "network": "edge-cnn",
        "division": "iid",
        "defence": "PGD",
        "seed": 0,
        "rounds": 5,
        "epsilon": "4/255",
        "effort": "full",
        "images": 50,
    }
    assert table.records.key(one) == table.records.key({**one, "verdict": "robust"})
    assert all(table.records.key(one) != table.records.key({**one, name: 1}) for name in one)


def test_a_table_of_one_defence_has_no_picture_and_of_two_it_has_their_names(table, tmp_path):
    two = points([("plain", 0.9, 0.1, 1), ("PGD", 0.8, 0.5, 6)])
    drawn = table.write.draw({"one": ("One", two[:1]), "two": ("Two", two)}, tmp_path / "pictures")
    assert drawn == {"two": "pictures/two.svg"}
    picture = (tmp_path / "pictures" / "two.svg").read_text()
    assert "PGD" in picture
    assert (
        (tmp_path / "pictures" / "two.csv")
        .read_text()
        .startswith("combination,clean,robust,size,front,side,label\n")
    )


def test_every_prediction_time_defence_is_timed_and_a_recipe_costs_one_prediction(table, monkeypatch):
    monkeypatch.setattr(table.write, "costs", lambda: {"edge-cnn": {"jpeg(quality=75)": 1.234}})
    assert set(table.prediction.wanted()) >= {"jpeg(quality=75)", "total-variation", "ape-gan"}
    shown = [table.write._prediction(name, "edge-cnn") for name in ("PGD", "JPEG", "median")]
    assert shown == ["1", "1.2", ""]
    assert table.write._prediction("JPEG", "mobilenetv2") == ""


def test_the_overview_averages_gain_and_cost_over_the_tables_of_each_seed(table):
    def cells_of(gains, cost=0.02):
        plain = [record("plain", seed, 0.90, 0.05) for seed in (0, 1)]
        return plain + [record("PGD", seed, 0.90 - cost, 0.05 + gain) for seed, gain in enumerate(gains)]

    tables = {"breast, iid": cells_of([0.300, 0.302]), "derma, iid": cells_of([0.10, 0.20], cost=0.04)}
    tables["derma, iid"].append(record("JPEG", 0, 0.9, 0.9))
    head, _, plain, jpeg, pgd = (
        [each.strip() for each in line.strip("|").split("|")]
        for line in table.overview.overview(tables).splitlines()
    )
    assert head == ["defence", "breast, iid", "derma, iid", "mean gain", "mean cost"]
    assert plain == ["plain", "5.0 (0.0) at 90.0", "5.0 (0.0) at 90.0", "", ""]
    assert jpeg == ["JPEG", "", "90.0 at 90.0", "", ""], "not in every table"
    # Gains of the seeds: 20 and 25 points; Student's t of one degree of freedom is 12.706.
    assert pgd[3:] == ["22.6 (32.4)", "3.0 (0.0)"]
    assert pgd[1:3] == ["**35.1** (1.3) at 88.0", "20.0 (63.5) at 86.0"], "the second gain is 15 +- 63.5"
    assert table.overview.overview({"breast, iid": tables["breast, iid"]}) == ""
    tables["breast, iid"].append(record("JPEG", 0, 0.8, 0.1))
    jpeg = table.overview.overview(tables).splitlines()[3].split(" | ")
    assert jpeg[3:] == ["45.0", "5.0 |"], "of one seed, gains of 5 and 85 points, without an interval"


def test_the_overview_claims_no_gain_of_degenerate_models_nor_of_equal_gains(table):
    def cells_of(gains):
        plain = [record("plain", seed, 0.90, 0.05) for seed in range(3)]
        return plain + [record("PGD", seed, 0.90, 0.05 + gain) for seed, gain in enumerate(gains)]

    def shown():
        return [
            each.strip() for each in table.overview.overview(tables).splitlines()[3].strip("|").split("|")
        ]

    tables = {"breast, iid": cells_of([0.3, 0.3, 0.3]), "derma, iid": cells_of([0.30, 0.31, 0.32])}
    assert shown()[1:] == ["35.0 (0.0) at 90.0", "**36.0** (2.5) at 90.0", "30.5 (1.2)", "0.0 (0.0)"]
    tables["derma, iid"][3]["verdict"] = "degenerate"
    assert shown()[1:] == ["35.0 (0.0) at 90.0", "**36.0**† (2.5) at 90.0", "30.5† (1.2)", "0.0† (0.0)"]


def test_a_degenerate_model_is_not_on_the_front_of_a_picture(table, monkeypatch):
    known = [record("plain", 0, 0.9, 0.05), record("PGD", 0, 0.8, 0.6), record("free", 0, 0.7, 0.7)]
    protocol = {
        "data": "breastmnist",
        "division": "iid",
        "rounds": 5,
        "epsilon": "4/255",
        "effort": "standard",
    }
    known = [{**one, **protocol, "network": "edge-cnn", "images": 9} for one in known]
    monkeypatch.setattr(table.write, "read", lambda data: known if data == "breastmnist" else [])

    def front():
        ((_, (_, found)),) = table.write.tables()
        return {one["combination"] for one in found if one["front"]}

    assert front() == {"plain", "PGD", "free"}
    known[2]["verdict"] = "degenerate"
    assert front() == {"plain", "PGD"}


def test_the_p_of_gains_is_corrected_for_the_number_of_defences_with_three_seeds(table):
    plain = [record("plain", seed, 0.9, 0.05) for seed in range(3)]
    known = plain + [record("PGD", seed, 0.9, 0.05 + gain) for seed, gain in enumerate((0.1, 0.2, 0.3))]
    known += [record("free", seed, 0.9, 0.05 + gain) for seed, gain in enumerate((0.29, 0.3, 0.31))]
    known += [record("JPEG", seed, 0.9, 0.5) for seed in range(2)]
    found = table.write.significance(known)
    # Of two defences with three seeds the smaller p counts twice. By hand: t = 0.2 / (0.1 / sqrt 3) = 3.46, p = 0.0742.
    assert found == {"PGD": pytest.approx(0.0742, abs=1e-4), "free": pytest.approx(2 * 3.70e-4, rel=0.01)}
    head, _, *rows = (line.strip("| ").split(" | ") for line in table.write.table(known).splitlines())
    shown = {line[0]: line[head.index("p")] for line in rows}
    assert shown == {"plain": "", "JPEG": "", "free": "< 0.001", "PGD": "0.074"}
