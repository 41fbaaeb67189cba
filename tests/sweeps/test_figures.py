from fedrobust.runs.record import RunRecord
from fedrobust.sweeps.figures import final_figures, strongest_epsilon
from fedrobust.sweeps.spread import Spread


def test_figures_of_a_run_are_means_over_the_rounds_that_have_them():
    def defended(tpr, fpr, attacked):
        return {
            "true-positive-rate": tpr,
            "false-positive-rate": fpr,
            "attacked": attacked,
            "distance": 2.0,
            "honest-norm": 4.0,
            "seconds": 0.5,
        }

    rounds = [
        {"round": 1, "defence": defended(0.5, 0.1, True), "kept": "so"},
        {"round": 2, "defence": defended(1.0, 0.3, True)},
        {"round": 3, "defence": defended(0.0, 0.2, False)},
    ]
    model = {
        "clean": {"accuracy": 0.8, "balanced_accuracy": 0.7, "auc": None},
        "attack-success": {"rate": 0.4},
    }
    dataset = {"labels": ["a", "b", "c", "d"]}
    run = RunRecord.read({"schema": 1, "rounds": rounds, "model-evaluation": model, "dataset": dataset})
    figures = final_figures(run)
    assert figures["true-positive-rate"] == 0.75, "attacked rounds alone"
    assert abs(figures["false-positive-rate"] - 0.2) < 1e-12
    assert figures["distance"] == 0.5
    assert figures["chance"] == 0.25
    assert figures["attack-success"] == 0.4
    assert figures["rounds-without-change"] == 1
    assert "auc" not in figures
    assert final_figures(RunRecord()) == {"refused": 0, "rounds-without-change": 0}


def chance(task="multi-class", counts=(), **clean):
    dataset = {"labels": ["a", "b", "c", "d"], "task": task, "counts": {"test": counts} if counts else {}}
    model = {"clean": {"accuracy": 0.8, "balanced-accuracy": 0.7, **clean}}
    return final_figures(RunRecord.read({"schema": 2, "dataset": dataset, "model-evaluation": model}))[
        "chance"
    ]


def test_a_constant_classifier_is_right_for_one_of_the_classes_that_are_there():
    assert chance() == 0.25, "the labels are all that is known"
    assert chance(counts=(9, 0, 5, 0)) == 0.5
    assert chance(counts=(9, 1, 5, 0), recall=[0.9, 0.5, 0.3, None]) == 1 / 3
    assert chance("multi-label, binary-class", (9, 1, 5, 2)) == 0.5, "of each finding, half"


def test_the_epsilon_of_a_heatmap():
    assert strongest_epsilon(["fgsm 8/255 accuracy", "fgsm 0.1 accuracy"]) == "fgsm 8/255 accuracy"
    assert (
        strongest_epsilon(["pgd(steps=40, restarts=2) 2/255 accuracy", "fgsm 9/255 accuracy"])
        == "fgsm 9/255 accuracy"
    )
    assert strongest_epsilon(["fgsm 4/255 balanced_accuracy", "accuracy"]) is None


def test_intervals_over_seeds_are_students():
    # n = 3: t = 4.3027, s = 0.1.
    spread = Spread.of([0.5, 0.6, 0.7])
    assert abs(spread.high - (0.6 + 4.3027 * 0.1 / 3**0.5)) < 1e-4
    assert Spread.of([0.5]).low is None
    assert Spread.of([]) is None


def test_validation_figures_are_those_of_the_selected_round():
    rounds = [
        {"round": number, "validation": {"auc": auc, "accuracy": 0.5}} for number, auc in ((1, 0.7), (2, 0.9))
    ]
    run = RunRecord.read({"schema": 1, "model": {"selected-round": 1}, "rounds": rounds})
    found = final_figures(run)
    assert (found["validation auc"], found["validation accuracy"]) == (0.7, 0.5)


def test_figures_of_baselines_are_means_over_the_clients_that_were_compared():
    def model(accuracy):
        return {"accuracy": accuracy, "balanced_accuracy": accuracy - 0.1, "auc": accuracy + 0.1}

    clients = [
        {"client": 0, "global-model": model(0.8), "local": model(0.5), "gain": 0.3, "interval": [0.1, 0.5]},
        {
            "client": 1,
            "global-model": model(0.6),
            "local": model(0.7),
            "gain": -0.1,
            "interval": [-0.2, -0.05],
        },
        {"client": 2},
    ]
    compared = {"population": 3, "clients": clients, "better": [0], "worse": [1]}
    run = RunRecord.read({"schema": 2, "central": {"accuracy": 0.9, "auc": 0.95}, "clients": compared})
    found = final_figures(run)
    wanted = {
        "central accuracy": 0.9,
        "central auc": 0.95,
        "clients global accuracy": 0.7,
        "clients global balanced_accuracy": 0.6,
        "clients global auc": 0.8,
        "clients local auc": 0.7,
        "clients local accuracy": 0.6,
        "clients local balanced_accuracy": 0.5,
        "clients gain": 0.1,
        "clients worse": 1,
        "clients better": 1,
    }
    assert {name: round(value, 9) for name, value in found.items() if name.startswith("c")} == wanted


def test_personal_models_alone_have_no_gain():
    clients = [{"client": 0, "personal": {"accuracy": 0.8, "balanced_accuracy": 0.5}}]
    found = final_figures(RunRecord.read({"schema": 2, "clients": {"clients": clients}}))
    assert {name for name in found if name.startswith("clients")} == {
        "clients personal accuracy",
        "clients personal balanced_accuracy",
    }


def test_figures_of_hospitals_are_the_worst_the_gap_and_means_over_unseen_sites():
    def hospital(name, balanced, recall=(0.5, 0.5)):
        return {
            "name": name,
            "metrics": {"accuracy": 0.9, "balanced_accuracy": balanced, "recall": list(recall)},
        }

    one_class = hospital("of one class", 0.1, recall=(0.1, None))
    figures = final_figures(
        RunRecord.read(
            {
                "schema": 1,
                "hospitals": {"hospitals": [hospital("a", 0.7), hospital("b", 0.9), one_class], "gap": 0.2},
                "unseen": {
                    "north": {"accuracy": 0.6, "auc": 0.7},
                    "south": {"accuracy": 0.8, "auc": None},
                },
            }
        )
    )
    assert (figures["worst-hospital balanced_accuracy"], figures["hospital gap"]) == (0.7, 0.2)
    assert (figures["unseen accuracy"], figures["unseen auc"]) == (0.7, 0.7)
    assert "unseen balanced_accuracy" not in figures
