"""Studies of multi-label images: what needs classes is refused before the first round; the rest goes the whole way."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fedrobust
from clients.shard import shard
from fedrobust.checks import check_data
from fedrobust.config import ConfigError, Experiment, starting
from fedrobust.data.dataset import DataError
from fedrobust.data.file_check import Expected, check_file
from fedrobust.data.problem import Problem
from fedrobust.deployment.site import Site
from fedrobust.flower.records import problem_config, problem_of
from fedrobust.study import Study

FINDINGS = {
    "data__multilabel": True,
    "data__classes": 3,
    "data__samples": 300,
    "model__name": "edge-cnn",
    "model__image_size": 28,
    "federation__clients": 3,
    "audit__enabled": False,
}


def study(**settings):
    return Study(Experiment.of(**{**FINDINGS, **settings}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"data__partition": "dirichlet(alpha=0.5)"},
            r'data.partition = "dirichlet.*choose one of iid, quantity, site',
        ),
        ({"data__undersample": True}, r"data.undersample = true: .*binary-cross-entropy\(balanced=True\)"),
        (
            {"data__site_shifts": ["0: label-noise"]},
            r'data.site-shifts = "0: label-noise".*leave label-noise out',
        ),
        ({"data__site_shifts": ["0: without-classes(classes=(0,))"]}, "leave without-classes out"),
        ({"training__recipe": "trades"}, r'training.recipe = "trades": it needs one class'),
        ({"training__class_weights": "balanced"}, r'class-weights = "balanced".*balanced=True'),
        ({"training__loss": "focal"}, r'training.loss = "focal".*choose "binary-cross-entropy"'),
        ({"training__algorithm": "fedbn"}, r'training.algorithm = "fedbn".*such as fedavg'),
        (
            {"poisoning__attack": "label-flip", "poisoning__malicious": 1},
            r'poisoning.attack = "label-flip".*sign-flip',
        ),
        (
            {"poisoning__attack": "pixel-backdoor", "poisoning__malicious": 1},
            r'poisoning.attack = "pixel-backdoor"',
        ),
        ({"evaluation__metrics": ["mcc"]}, r'evaluation.metrics = "mcc"'),
        (
            {"evaluation__select": "best", "evaluation__select_by": "worst-client"},
            r"select-by = .*choose auc",
        ),
        ({"evaluation__baselines": ["local"]}, r"evaluation.baselines = \['local'\].*leave local out"),
        (
            {"evaluation__attacks": ["deepfool"]},
            r'evaluation.attacks = "deepfool".*allowed for findings: bim, fgsm',
        ),
        ({"evaluation__attacks": ["pgd(target=1)"]}, r"target = 1: findings have no target class"),
        (
            {"evaluation__attacked_finding": "mass"},
            r'attacked-finding = "mass": no such finding; allowed: any, ',
        ),
        ({"audit__enabled": True}, r"audit.enabled = true.*set audit.enabled = false"),
    ],
)
def test_what_needs_classes_is_refused_before_the_first_round(settings, message):
    with pytest.raises(ConfigError, match=message):
        check_data(study(**settings))


def test_all_that_is_refused_is_told_at_once():
    with pytest.raises(ConfigError) as refusal:
        check_data(study(data__undersample=True, audit__enabled=True))
    assert len(str(refusal.value).splitlines()) == 2


def test_what_fits_findings_passes():
    check_data(study())
    check_data(study(data__partition="quantity", data__site_shifts=["0: blur(severity=2)"]))
    check_data(study(training__loss="binary-cross-entropy(balanced=True)", training__augmentations=["mixup"]))
    check_data(study(training__recipe="pgd(steps=2)", evaluation__attacked_finding="abscess"))
    check_data(study(poisoning__attack="sign-flip", poisoning__malicious=1, federation__aggregator="median"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"evaluation__attacked_finding": "malignant"},
            'an image of phantom has one class; leave it at "any"',
        ),
        (
            {"training__loss": "binary-cross-entropy"},
            r"several findings an image .multi-label.*one class an image",
        ),
    ],
)
def test_settings_of_findings_are_refused_for_classes(settings, message):
    with pytest.raises(ConfigError, match=message):
        check_data(study(**{**settings, "data__multilabel": False, "audit__enabled": True}))


SHORT = {
    **FINDINGS,
    "seed": 1,
    "data__samples": 600,
    "federation__rounds": 4,
    "training__epochs": 3,
    "training__batch_size": 16,
    "evaluation__every": 4,
    "evaluation__attacks": ["fgsm", "pgd(steps=3)"],
    "evaluation__epsilons": ["8/255"],
    "distillation__epochs": 5,
}

WITHOUT_STUDENT = {"distillation__enabled": False, "export__enabled": False}


@pytest.mark.slow
def test_a_study_of_findings_goes_the_whole_way_and_learns(tmp_path):
    run = fedrobust.run(output__dir=str(tmp_path / "run"), **SHORT)
    clean = run.record.model_evaluation.clean
    assert clean.accuracy > clean.majority_rate + 0.03
    assert clean.correct / clean.n > clean.majority_exact
    assert clean.auc > 0.75
    assert len(clean.labels) == 3
    assert run.record.dataset.counts["test"] == tuple(one.positives for one in clean.labels)
    attacked = run.record.model_evaluation.robust
    fgsm, pgd = attacked["fgsm"]["8/255"], attacked["pgd(steps=3)"]["8/255"]
    assert pgd.accuracy < fgsm.accuracy < clean.accuracy
    assert pgd.changed > 0.5
    assert run.record.student.clean.auc > 0.65
    assert all(file.agreement > 0.9 and file.metrics.labels for file in run.record.export)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert 'id="findings"' in page
    assert json.loads((tmp_path / "run" / "partition.json").read_text())["counts"][0][2] > 0


@pytest.mark.slow
def test_an_attack_on_one_finding_changes_that_one_most(tmp_path):
    settings = {
        **SHORT,
        "distillation__enabled": False,
        "export__enabled": False,
        "evaluation__attacked_finding": "abscess",
    }
    run = fedrobust.run(output__dir=str(tmp_path / "run"), **settings)
    evaluation = run.record.model_evaluation
    before, after = evaluation.clean.labels, evaluation.robust["pgd(steps=3)"]["8/255"].labels
    lost = [one.auc - other.auc for one, other in zip(before, after, strict=True)]
    assert np.argmax(lost) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"training__layers": "head", "training__algorithm": "scaffold"},
        {
            "federation__aggregator": "fltrust(images=20)",
            "poisoning__attack": "sign-flip",
            "poisoning__malicious": 1,
        },
        {"training__recipe": "pgd(steps=1)", "training__augmentations": ["mixup", "flip"]},
    ],
)
def test_other_ways_of_training_take_findings(tmp_path, settings):
    few = {
        "federation__rounds": 1,
        "evaluation__every": 1,
        "evaluation__examples": 0,
        **WITHOUT_STUDENT,
    }
    run = fedrobust.run(output__dir=str(tmp_path / "run"), **{**SHORT, **few, **settings})
    assert run.record.status == "finished"
    assert 0 < run.record.rounds[0].clients.loss < 1


def test_audits_and_attacks_of_files_are_refused(tmp_path):
    path = save(tmp_path / "chest.npz", np.arange(40) % 2)
    for refused in (
        fedrobust.audit_model,
        lambda *places, **more: fedrobust.attack_model(*places, ["fgsm"], **more),
    ):
        with pytest.raises(ConfigError, match="is multi-label: audits, attacks and exports of files take"):
            refused("model.keras", path)


def save(path, other, count=40):
    findings = np.stack([np.arange(count) % 3 == 0, other], axis=1).astype(np.uint8)
    arrays = {}
    for name in ("train", "val", "test"):
        arrays |= {f"{name}_images": np.full((count, 28, 28), 9, np.uint8), f"{name}_labels": findings}
    np.savez_compressed(path, **arrays)
    return str(path)


def test_the_problem_of_findings_is_sent_to_clients_and_their_files_are_read_as_findings(tmp_path):
    problem = Problem((28, 28, 1), 2, multilabel=True)
    assert problem_of(problem_config(problem)) == problem
    assert not problem_of(problem_config(Problem((28, 28, 1), 2))).multilabel
    path = save(tmp_path / "north.npz", np.arange(40) % 2)
    own = shard({"data-path": path}, lambda client: None, problem)
    assert sorted(set(own.labels.tolist())) == [0, 1, 2, 3]
    with pytest.raises(DataError, match="several labels an image"):
        shard({"data-path": path}, lambda client: None, Problem((28, 28, 1), 2))
    with pytest.raises(DataError, match=r"allowed: 0 and 1, \(n, 3\)"):
        shard({"data-path": path}, lambda client: None, Problem((28, 28, 1), 3, multilabel=True))


def test_hospitals_with_files_of_findings_are_clients(tmp_path):
    files = [
        save(tmp_path / f"{name}.npz", np.arange(40) % step) for name, step in (("north", 2), ("south", 2))
    ]
    given = {
        "data__clients": files,
        "data__partition": "site",
        "federation__clients": 2,
        "data__multilabel": False,
    }
    one = study(**given)
    check_data(one)
    assert one.problem == Problem((28, 28, 1), 2, multilabel=True)
    assert one.partition.counts.tolist() == [[14, 20], [14, 20]]


def test_a_new_study_of_findings_leaves_the_audit_out():
    assert starting("chest.npz", images=500, multilabel=True)["audit"] == {"enabled": False}
    assert "audit" not in starting("breastmnist", images=500)


def test_a_site_of_a_deployment_knows_that_it_takes_findings(tmp_path):
    takes = Expected("chest", (28, 28, 1), ("mass", "nodule"), multilabel=True)
    for expected in (takes, replace(takes, multilabel=False)):
        site = Site(tmp_path, "chest", "north", 0, "localhost:8000", "north.npz", expected)
        (tmp_path / "site.toml").write_text(site.to_toml())
        assert Site.read(tmp_path).takes == expected
    path = Path(save(tmp_path / "north.npz", np.arange(40) % 2))
    assert check_file(path, takes, near=False).hospital == ""
    assert (
        "several findings an image, chest takes one class" in check_file(path, expected, near=False).hospital
    )
