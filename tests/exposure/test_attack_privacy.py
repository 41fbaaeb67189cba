"""`fedrobust.attack_privacy` on runs, as a user calls it."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import fedrobust
from fedrobust.api.leakage import named
from fedrobust.config import ConfigError
from fedrobust.exposure.confidences import Confidences
from fedrobust.exposure.crafted_heads import CraftedHeads
from fedrobust.exposure.leak import Leak, selected_round
from fedrobust.exposure.membership import Membership
from fedrobust.exposure.shadows import first_draw, shadow_sweep
from fedrobust.exposure.updates import Updates
from fedrobust.leakage import confidence, leakage_attack_named
from fedrobust.report.card import render
from fedrobust.runs.kept_rounds import KeptRounds
from fedrobust.runs.record import CardRecord
from fedrobust.runs.record.card import ThreatRecord, VerdictRecord
from fedrobust.study import Study


def test_without_shadows_the_loss_and_the_updates_are_attacked(head_run):
    found = fedrobust.attack_privacy(head_run.path, ["loss", "update-alignment"])
    loss, alignment = found["membership"]
    assert (loss["target"], loss["others"], alignment["target"], alignment["targets"]) == (
        "model",
        "test images",
        "clients",
        3,
    )
    assert alignment["auc"] > 0.6, "a client's update points to its own images"
    assert loss["rates"][1]["value"] is None or loss["rates"][1]["others"] >= 1000
    kept = json.loads((head_run.path / "leakage.json").read_text())
    assert kept["membership"] == found["membership"]


def test_the_cached_head_and_the_saved_model_answer_alike(head_run):
    study, kept = Study.of(head_run.experiment), KeptRounds(head_run.folder)
    leak = Leak(head_run, study, {}, 0, print)
    split = study.dataset.test.of_rows(np.arange(20))
    own = Confidences(study)(kept.weights(3), split)
    saved = np.asarray(head_run.model()(split.images.astype(np.float32) / 255, training=False))
    np.testing.assert_allclose(own, confidence(saved, split.labels), atol=1e-4)
    np.testing.assert_allclose(leak.answers()(split.images), saved, atol=1e-4)
    assert Membership(study, kept, leak.answers(), (), 0).rounds == (1, 2)


def test_shadows_come_in_pairs_after_the_runs_own(head_run):
    sweep = shadow_sweep(head_run.experiment, 6)
    assert [cell.experiment.data.train_draw for cell in sweep.cells] == list(range(6))
    assert {cell.experiment.data.train_share for cell in sweep.cells} == {0.5}
    half = head_run.experiment.changed(data__train_share=0.5, data__train_draw=3)
    assert first_draw(half) == 4
    with pytest.raises(ConfigError, match="even number from 6"):
        shadow_sweep(head_run.experiment, 5)


def test_requests_that_cannot_be_met_are_refused_before_anything_is_trained(head_run, tmp_path):
    with pytest.raises(ConfigError, match="given twice"):
        named(("loss", "loss"))
    with pytest.raises(ConfigError, match=r"shadows = 5"):
        named(("lira(shadows=5)",))
    with pytest.raises(ConfigError, match="even number"):
        named(("loss",), shadows=7)
    with pytest.raises(ValueError, match="not a run folder"):
        fedrobust.attack_privacy(tmp_path)


def test_a_run_without_kept_rounds_is_attacked_through_its_model_alone(head_run, small, tmp_path):
    plain = fedrobust.run(**{**small, "output__keep_every": 0}, output__dir=str(tmp_path / "plain"))
    found = fedrobust.attack_privacy(plain.path, ["loss", "trajectory"])
    assert [one["attack"] for one in found["membership"]] == ["loss"]
    assert found["skipped"][0].startswith("trajectory: the run kept no global models")


def test_a_malicious_server_finds_whose_image_it_is_where_steps_are_whole(head_run):
    """Plain SGD on all images at once: the difference of two updates is the image; batches of four hide it."""
    found = []
    for size in (64, 4):
        whole = head_run.experiment.changed(
            training__optimizer="sgd", training__batch_size=size, training__epochs=1
        )
        updates = Updates(Study.of(whole), KeptRounds(head_run.folder))
        attack = leakage_attack_named("feature-fishing(clients=3, images=8)")
        found.append(CraftedHeads(updates, 0).on_clients("fishing", attack))
    exact, hidden = found
    assert (exact.sees, exact.target, exact.targets) == ("active", "clients", 3)
    assert exact.auc > 0.9 > hidden.auc
    assert exact.control_auc < 0.7


def test_crafted_heads_need_head_only_training_and_enough_rounds(head_run):
    attacks = {"many": leakage_attack_named("feature-fishing(pairs=2)")}
    leak = Leak(head_run, Study.of(head_run.experiment), attacks, 0, print)
    assert "pairs = 2: heads are sent in 4 rounds" in leak.skipped()["many"]
    every = Study.of(head_run.experiment.changed(training__layers="all"))
    one = {"one": leakage_attack_named("feature-fishing")}
    assert 'training.layers = "all"' in Leak(head_run, every, one, 0, print).skipped()["one"]


@pytest.mark.slow
def test_shadows_of_an_overfitted_run_find_its_members(small, tmp_path):
    """Half of the images are left out: LiRA is online, and the others come from the same distribution."""
    settings = {**small, "training__layers": "all", "training__epochs": 30, "data__train_share": 0.5}
    run = fedrobust.run(**settings, output__dir=str(tmp_path / "run"))
    found = fedrobust.attack_privacy(run.path, shadows=8)
    rows = {(one["attack"], one["target"]): one for one in found["membership"]}
    assert rows["lira", "model"]["others"] == "training images left out"
    assert rows["lira", "shadows"]["auc"] > 0.6
    assert rows["lira", "shadows"]["interval"][0] > 0.5
    assert found["shadows"] == 8


@pytest.mark.slow
def test_at_few_false_positives_the_likelihood_ratio_finds_members_of_an_overfitted_run_that_the_loss_does_not(
    small, tmp_path
):
    """A network that is trained to a loss near 0; 16 shadows with 100 others each: at 1 %, 16 may be accused."""
    settings = {
        **small,
        "data__samples": 200,
        "data__train_share": 0.5,
        "model__name": "strided-cnn(width=8)",
        "training__layers": "all",
        "training__learning_rate": 0.003,
        "training__epochs": 40,
        "federation__clients": 2,
        "output__keep_every": 0,
    }
    run = fedrobust.run(**settings, output__dir=str(tmp_path / "run"))
    found = fedrobust.attack_privacy(run.path, ["loss", "lira", "rmia"], shadows=16)
    rows = {one["attack"]: one for one in found["membership"] if one["target"] == "shadows"}
    at_one_percent = {name: row["rates"][0] for name, row in rows.items()}
    assert at_one_percent["lira"]["others"] == 1600
    for name in ("lira", "rmia"):
        assert at_one_percent[name]["value"] > 2 * at_one_percent["loss"]["value"]
        assert at_one_percent[name]["interval"][0] > 0.01
        assert rows[name]["auc"] > rows["loss"]["auc"]


def test_the_card_and_the_report_get_a_privacy_page(head_run):
    card = CardRecord(
        threat=ThreatRecord(norm="linf", space="native"),
        verdict=VerdictRecord(word="not proven", sentence="", deciding=()),
    )
    head_run.folder.write_json("card.json", card.to_json())
    head_run.folder.file("leakage.json").unlink(missing_ok=True)
    fedrobust.write_report(head_run.path)
    assert "Nothing promised, not attacked." in head_run.report.read_text()
    found = fedrobust.attack_privacy(head_run.path, ["update-alignment", "one-run-audit"])
    written = head_run.folder.read_json("card.json")
    assert written["privacy"]["promised"] is None
    assert written["privacy"]["attacked"]["membership"] == found["membership"]
    assert CardRecord.read(written).privacy.statement == tuple(written["privacy"]["statement"])
    assert "unknown: reconstruction of images" in " ".join(written["privacy"]["statement"])
    page = head_run.report.read_text()
    assert "Nothing promised, attacked." in page
    assert "not attacked." not in page
    assert "update-alignment on updates of 3 clients" in page
    assert "Not made: one-run-audit: no differential privacy was promised" in page
    assert "Privacy" in render(CardRecord.read(written))


def test_shadows_are_compared_at_the_round_whose_model_was_kept(head_run):
    study = Study.of(head_run.experiment)
    record = head_run.record
    early = replace(record, model=replace(record.model, selected_round=2))
    assert (selected_round(record), selected_round(early)) == (3, 2)
    kept = Membership(study, KeptRounds(head_run.folder), lambda images: images, (), 0, last=2)
    assert kept.rounds == (1,)
    lira = named(("lira(shadows=6)",))

    def why(**settings):
        changed = SimpleNamespace(record=early, folder=head_run.folder, experiment=head_run.experiment)
        return Leak(changed, Study.of(head_run.experiment.changed(**settings)), lira, 0, print).skipped()

    assert why() == {}
    told = why(output__keep_every=0)["lira(shadows=6)"]
    assert "the model is that of round 2, and shadows keep every 3th" in told
    told = why(model__removal="fine-pruning")["lira(shadows=6)"]
    assert "changes the model after its rounds" in told
