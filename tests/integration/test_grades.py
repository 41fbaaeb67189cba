"""A study of grades: the quadratic weighted kappa reaches record, report and terminal."""

import numpy as np
import pytest

import fedrobust
from fedrobust.terminal.run import round_line
from fedrobust.terminal.summary import summary_tables

pytestmark = pytest.mark.slow

SHORT = {
    "federation__clients": 2,
    "federation__rounds": 1,
    "training__epochs": 3,
    "model__name": "edge-cnn",
    "model__image_size": 28,
    "evaluation__attacks": ["fgsm"],
    "evaluation__epsilons": ["4/255"],
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
}


@pytest.fixture
def grades(tmp_path):
    drawn = fedrobust.load_dataset("phantom", classes=4, samples=400)
    arrays = {"task": np.array("ordinal-regression")}
    for name, split in zip(("train", "val", "test"), drawn.splits.values(), strict=True):
        arrays |= {f"{name}_images": split.images, f"{name}_labels": split.labels}
    np.savez_compressed(tmp_path / "grades.npz", **arrays)
    return str(tmp_path / "grades.npz")


def test_kappa_is_measured_clean_and_attacked_with_its_interval(grades, tmp_path):
    run = fedrobust.run(data__name=grades, output__dir=str(tmp_path / "run"), **SHORT)
    clean = run.record.model_evaluation.clean
    low, high = clean.interval.further["quadratic-kappa"]
    assert low < clean.further["quadratic-kappa"] < high
    attacked = run.record.model_evaluation.robust["fgsm"]["4/255"]
    assert attacked.further["quadratic-kappa"] < clean.further["quadratic-kappa"]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert f"{clean.further['quadratic-kappa']:.3f}<small>{low:.3f}–{high:.3f}" in page
    assert "quadratic-kappa under FGSM" in page
    table = summary_tables(run.record)[0]
    assert [column.header for column in table.columns][-1] == "quadratic-kappa"
    assert table.caption.endswith("quadratic-kappa 0.")
    assert "quadratic-kappa" in round_line(run.record.rounds[-1], 1)
