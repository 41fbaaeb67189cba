"""What a study names is checked against its data and against everything else before its first round."""

from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.checks import check_data, check_models, check_reach
from fedrobust.checks.models import (
    algorithm_fits,
    attack_reads,
    normalised_alone,
    rule_reads,
    server_normalised_alone,
    statistics_shared,
)
from fedrobust.checks.rules import knowledge_suffices
from fedrobust.config import ConfigError, Experiment
from fedrobust.config.sections import Model, Training
from fedrobust.data.dataset import DataError
from fedrobust.errors import FedrobustError
from fedrobust.study import Study

SMALL = {"data__samples": 200, "model__name": "edge-cnn", "model__image_size": 28}
L2 = {"evaluation__norm": "l2", "evaluation__attacks": ["pgd"], "evaluation__epsilons": [1]}


def study(**settings):
    return Study(Experiment.of(**{**SMALL, **settings}))


def test_studies_that_fit_pass():
    check_data(study())
    check_data(study(poisoning__attack="pixel-backdoor + scaling(factor=5)", poisoning__malicious=2))
    check_data(study(poisoning__attack="fgsm-images", poisoning__malicious=0.2))
    check_data(study(poisoning__attack="free-rider", poisoning__malicious=1))
    check_data(study(poisoning__attack="fgsm-training", poisoning__malicious=1))
    check_data(study(poisoning__attack="inflated-claim", poisoning__malicious=1))
    check_data(study(poisoning__attack="norm-bound(norm=2.0)", poisoning__malicious=1))
    check_data(study(poisoning__attack="standard-training", poisoning__malicious=1, training__recipe="fgsm"))
    check_data(study(evaluation__norm="l2", evaluation__epsilons=[0.5, 20], audit__epsilon=2.0))


def test_algorithms_that_send_more_than_weights_are_refused_with_postprocessors_at_clients():
    clipped = {"federation__postprocessors": ["clip"]}
    check_data(study(training__algorithm="feddyn", **clipped))
    with pytest.raises(ConfigError, match=r'"scaffold" sends arrays beside weights.*\[\'clip\'\]'):
        check_data(study(training__algorithm="scaffold", **clipped))


@pytest.mark.parametrize(
    ("name", "layers", "message"),
    [
        ("fedrep", "head", "all that is trained is a client's own, and nothing is shared"),
        ("fedbn", "head", "nothing of this model is a client's own"),
        ("fedbn", "all", ""),
    ],
)
def test_personal_parts_are_a_part_of_what_is_trained(name, layers, message):
    given = study(training__algorithm=name, training__layers=layers)
    parts = "edge-cnn", given.experiment.training, given.algorithm, lambda: given.classifier
    assert [one for one in algorithm_fits(*parts) if message in one] == list(algorithm_fits(*parts))
    assert bool(list(algorithm_fits(*parts))) == bool(message)


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        ("pixel-backdoor(target=7)", "target = 7.*classes 0 to 1"),
        ("blended-backdoor(target=2)", "target = 2.*classes 0 to 1"),
        ("edge-case(source=5)", "source = 5.*classes 0 to 1"),
        ("label-flip(kind='targeted', source=3)", "source = 3.*classes 0 to 1"),
        ("label-flip(kind='targeted', target=9) + scaling(factor=2)", "target = 9.*classes 0 to 1"),
        ("pixel-backdoor(size=40)", "40"),
        ("distributed-backdoor(length=30)", "30"),
        ("distributed-backdoor(parts=40)", "40"),
    ],
)
def test_classes_and_triggers_outside_the_images_are_refused(attack, message):
    with pytest.raises(ConfigError, match=rf"poisoning\.attack = .*{message}"):
        check_data(study(poisoning__attack=attack, poisoning__malicious=2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"poisoning__malicious": 0.3},
            'malicious = 0.3 with poisoning.attack = "none": there would be no attack',
        ),
        ({"poisoning__malicious": [2, 3]}, r"malicious = \[2, 3\].*federation.tolerate = 2"),
        ({"poisoning__attack": "sign-flip"}, "none of 10 clients"),
        ({"poisoning__attack": "sign-flip", "poisoning__malicious": 0.04}, "none of 10 clients"),
        ({"poisoning__attack": "sign-flip", "poisoning__malicious": []}, "none of 10 clients"),
        ({"poisoning__attack": "sign-flip", "poisoning__malicious": 10}, "all 10 clients"),
        ({"poisoning__attack": "sign-flip", "poisoning__malicious": 1.0}, "all 10 clients"),
        (
            {"poisoning__attack": "sign-flip", "poisoning__malicious": 1, "poisoning__first_round": 6},
            "first-round = 6: the study ends after round 5",
        ),
        (
            {"poisoning__attack": "standard-training", "poisoning__malicious": 1},
            'training.recipe = "plain": malicious clients would train as they do without it',
        ),
        (
            {
                "poisoning__attack": "standard-training",
                "poisoning__malicious": 1,
                "training__recipe": "fgsm",
                "training__recipe_from": 4,
                "poisoning__last_round": 3,
            },
            "from round 4: malicious clients would train as they do without it",
        ),
        (
            {
                "poisoning__attack": "standard-training",
                "poisoning__malicious": [0, 2],
                "training__recipe": "pgd",
                "training__recipe_clients": 0.5,
            },
            "malicious clients would train as they do without it",
        ),
        (
            {
                "poisoning__attack": "inflated-claim",
                "poisoning__malicious": 1,
                "federation__aggregator": "median",
            },
            "does not weight clients by the number of images that they claim",
        ),
        (
            {"poisoning__attack": "scaling(factor=1)", "poisoning__malicious": 1},
            "it would change nothing",
        ),
        (
            {"poisoning__attack": "inflated-claim(factor=1)", "poisoning__malicious": 1},
            "it would change nothing",
        ),
    ],
)
def test_a_study_that_names_an_attack_is_attacked_and_no_other_is(settings, message):
    with pytest.raises(ConfigError, match=message):
        check_data(study(**settings))


def test_a_rule_by_losses_gets_losses_of_the_same_training():
    sfat = {"federation__aggregator": "sfat", "training__recipe": "pgd"}
    check_data(study(**sfat))
    check_data(study(**sfat, poisoning__attack="false-loss", poisoning__malicious=1))
    with pytest.raises(ConfigError, match=r"training.recipe-clients = 0.5 .* would be favoured for that"):
        check_data(study(**sfat, training__recipe_clients=0.5))
    with pytest.raises(ConfigError, match=r"does not use the losses that clients report"):
        check_data(study(poisoning__attack="false-loss", poisoning__malicious=1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"model__batchnorm_policy": "recalibrate"},
            'batchnorm-policy = "recalibrate" with training.recipe = "fedrbn"',
        ),
        ({"model__batchnorm_policy": "moments"}, "which this would replace; choose"),
        (
            {"model__normalization": "group"},
            "it shares BatchNorm statistics, and nothing that is trained has any",
        ),
        ({"model__batchnorm_policy": "average"}, ""),
        ({}, ""),
        (
            {"training__algorithm": "fedbn", "training__recipe_clients": 0.5},
            "clients keep statistics of their own",
        ),
        (
            {"training__algorithm": "ditto", "training__recipe_clients": 0.5},
            "clients keep statistics of their own",
        ),
        ({"training__algorithm": "fedbn"}, ""),
        ({"training__algorithm": "fedper", "training__recipe_clients": 0.5}, ""),
    ],
)
def test_a_recipe_that_shares_statistics_keeps_them(settings, message):
    given = study(training__recipe="fedrbn", **settings)
    model, training = given.experiment.model, given.experiment.training
    rest = given.algorithm, lambda: given.classifier
    found = list(statistics_shared(model, training, given.recipe, *rest))
    assert len(found) == bool(message)
    assert all(message in one for one in found)
    assert not list(statistics_shared(model, training, study(training__recipe="pgd").recipe, *rest))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"federation__aggregator": "bnguard", "model__normalization": "group"},
            "no BatchNorm layer whose statistics",
        ),
        ({"federation__aggregator": "bnguard"}, ""),
        ({"federation__aggregator": "deepsight"}, ""),
    ],
)
def test_a_rule_that_reads_arrays_of_the_model_finds_them(settings, message):
    given = study(**settings)
    found = list(
        rule_reads(given.defence.rule, given.experiment.federation.aggregator, lambda: given.classifier)
    )
    assert len(found) == bool(message)
    assert all(message in one for one in found)


@pytest.mark.parametrize(
    ("attack", "layers", "message"),
    [
        (
            "pixel-backdoor + chameleon",
            "head",
            "chameleon trains the layers below the head, and there are none",
        ),
        ("pixel-backdoor + chameleon", "all", ""),
        ("pixel-backdoor + critical-layers", "head", ""),
    ],
)
def test_an_attack_that_needs_layers_below_the_head_is_refused_before_the_study(attack, layers, message):
    given = study(poisoning__attack=attack, poisoning__malicious=1, training__layers=layers)
    parts = given.attack, attack, given.experiment.training, lambda: given.classifier
    found = list(attack_reads(*parts))
    assert len(found) == bool(message)
    assert all(message in one and 'training.layers = "head"' in one for one in found)


def test_an_attack_on_a_class_that_its_clients_have_not_got_is_refused(tmp_path):
    # Sorted into two blocks a client: the first clients hold nothing but the first classes.
    settings = {
        "data__classes": 5,
        "data__partition": "pathological(classes_per_client=1)",
        "federation__clients": 5,
        "poisoning__attack": "label-flip(kind='targeted', source=2, target=0)",
    }
    counts = study(**settings).partition.counts
    without, having = int(np.argmin(counts[:, 2])), int(np.argmax(counts[:, 2]))
    check_data(study(poisoning__malicious=[having], **settings))
    with pytest.raises(ConfigError, match=rf"no image and no label of the malicious clients \[{without}\]"):
        check_data(study(poisoning__malicious=[without], **settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"evaluation__epsilons": []}, r"evaluation\.epsilons = \[\] with evaluation\.attacks"),
        (
            {**L2, "audit__epsilon": 1, "evaluation__epsilons": [28.1]},
            r"evaluation\.epsilons = 28\.1: .*up to 28",
        ),
        ({**L2, "audit__epsilon": 29}, r"audit\.epsilon = 29.*: .*up to 28"),
        ({**L2, "audit__epsilon": 1, "audit__epsilons": [1, 30]}, r"audit\.epsilons = 30.*: .*up to 28"),
        ({"model__weights": "none.h5"}, r'model\.weights = "none\.h5": .*no such file'),
        ({"audit__control": "none.keras"}, r'audit\.control = "none\.keras": there is no such file'),
        (
            {"federation__aggregator": "mean(sizes=[5, 6])"},
            "sizes of 2 clients, and federation.clients = ",
        ),
        ({"federation__aggregator": "flshield(images=100000)"}, "images = 100000: the root images"),
        ({"federation__aggregator": "fltrust(images=100000)"}, "images = 100000: the root images"),
        ({"federation__aggregator": "nowhere:Rule"}, r'aggregator = "nowhere:Rule".*nowhere'),
        ({"poisoning__attack": "nowhere:A", "poisoning__malicious": 1}, r"cannot import 'nowhere'"),
        ({"federation__server_optimizer": "nowhere:A"}, r"cannot import 'nowhere'"),
        ({"data__partition": "nowhere:split"}, r"data\.partition = .*cannot import 'nowhere'"),
        ({"federation__aggregator": "bucketing"}, "bucketing"),
    ],
)
def test_strengths_files_and_modules_are_checked(settings, message):
    with pytest.raises(ConfigError, match=message):
        check_data(study(**settings))


def test_everything_wrong_is_told_at_once():
    with pytest.raises(ConfigError) as error:
        check_data(study(poisoning__malicious=0.3, evaluation__epsilons=[], model__weights="none.h5"))
    assert [line.split(" ")[0] for line in str(error.value).splitlines()] == [
        "poisoning.malicious",
        "evaluation.epsilons",
        "model.weights",
    ]


def test_an_own_attack_that_fails_on_the_clients_images_is_told_before_the_study(tmp_path, monkeypatch):
    (tmp_path / "failing_attack.py").write_text(
        "class Failing:\n    def data(self, images, labels, context):\n        return images[:, 1000], labels\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=r"failing_attack:Failing.*it fails: IndexError"):
        check_data(study(poisoning__attack="failing_attack:Failing", poisoning__malicious=1))


def test_images_that_do_not_go_round_are_told_by_the_same_check():
    with pytest.raises(DataError, match="clients"):
        check_data(study(federation__clients=1000))


@pytest.mark.parametrize(
    ("epsilons", "norm", "message"),
    [
        ([1.01], "linf", "up to 1"),
        (["256/255"], "linf", "up to 1"),
        ([0], "l2", "above 0"),
        ([17], "l0", "up to 16"),
        ([1.5], "l0", "whole number"),
        ([7], "l2", "up to 6.928"),
        (["8/255/3"], "linf", "one fraction"),
    ],
)
def test_an_epsilon_is_within_what_two_images_can_differ_by(epsilons, norm, message):
    check_reach([1], norm, (4, 4, 3))
    with pytest.raises(FedrobustError, match=message):
        check_reach(epsilons, norm, (4, 4, 3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model__name": "resnet50"}, r"model\.image-size = 28: resnet50 takes images from 32 pixels"),
        (
            {"distillation__student": "densenet121"},
            r"distillation\.image-size = 28: densenet121 takes images from 32",
        ),
        ({"distillation__image_size": 8}, r"distillation\.image-size = 8: edge-cnn takes images from 16"),
        ({"model__name": "edgecnn"}, r'model\.name = "edgecnn": .*did you mean "edge-cnn"'),
        ({"distillation__student": "nowhere:build"}, r"distillation\.student.*cannot import 'nowhere'"),
        ({"model__weights": "imagenet"}, "edge-cnn has none"),
        ({"evaluation__attacks": ["pgd(target=3)"]}, r"target = 3: the data set has classes 0 to 1"),
        ({"evaluation__attacks": ["transfer(student='none')"]}, "student"),
        ({"evaluation__attacks": ["transfer(surrogate='none.keras')"]}, "surrogate"),
        ({"training__recipe": "nowhere:R"}, "cannot import 'nowhere'"),
        ({"training__optimizer": "nowhere:O(rate=2)"}, r"training\.optimizer = .*cannot import 'nowhere'"),
    ],
)
def test_networks_recipes_and_attacks_fit_the_images(settings, message):
    wrong = study(**settings)
    with pytest.raises(ConfigError, match=message):
        check_models(wrong)


def test_a_batch_of_one_image_is_refused_where_it_would_be_normalised_alone():
    """And not where the network has no BatchNorm, nor with two images."""
    with pytest.raises(
        ConfigError, match=r"training\.batch-size = 1: edge-cnn normalises over the batch.*2 or more"
    ):
        check_models(study(training__batch_size=1))
    check_models(study(training__batch_size=2))
    plain = SimpleNamespace(layout=SimpleNamespace(statistics=0))
    assert not list(normalised_alone(Model(name="own"), Training(batch_size=1), lambda: plain))
    normal, frozen = SimpleNamespace(layout=SimpleNamespace(statistics=4)), {"batchnorm_policy": "frozen"}
    for policy, refused in (({}, 1), (frozen, 0)):
        model = Model(name="own", weights="imagenet", **policy)
        assert len(list(normalised_alone(model, Training(batch_size=1), lambda: normal))) == refused
        rule = study(federation__aggregator="feddf(batch_size=1)").defence.rule
        assert len(list(server_normalised_alone(model, rule, "feddf", lambda: normal))) == refused
        assert not list(server_normalised_alone(model, rule, "feddf", lambda: plain))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distillation__batch_size": 1}, r"distillation\.batch-size = 1: edge-cnn\(width=4\) normalises"),
        (
            {"federation__aggregator": "feddf(batch_size=1)"},
            r'feddf\(batch_size=1\)": batch_size = 1: edge-cnn norm',
        ),
        (
            {"federation__aggregator": "feddf(images=1)"},
            r"federation\.aggregator = .*: images = 1: edge-cnn norm",
        ),
        (
            {"federation__aggregator": "fltrust(images=1)"},
            r"federation\.aggregator = .*: images = 1: edge-cnn norm",
        ),
    ],
)
def test_a_batch_of_one_image_is_refused_wherever_a_network_with_batchnorm_is_trained(settings, message):
    small = {"distillation__student": "edge-cnn(width=4)"}
    with pytest.raises(ConfigError, match=message + r".*\(BatchNorm\).*choose 2 or more"):
        check_models(study(**small, **settings))
    two = {
        name: value.replace("=1", "=2") if isinstance(value, str) else 2 for name, value in settings.items()
    }
    check_models(study(**small, **two))
    if "distillation__batch_size" in settings:
        check_models(study(**small, **settings, distillation__enabled=False, export__enabled=False))
    else:
        check_models(study(**small, **settings, model__normalization="group"))


@pytest.mark.parametrize(("images", "copies", "refused"), [(1, 0, True), (1, 1, False), (2, 0, False)])
def test_a_student_with_batchnorm_does_not_learn_from_a_single_image(tmp_path, images, copies, refused):
    file = str(tmp_path / "public.npz")
    np.savez(file, images=np.zeros((images, 28, 28, 1), np.uint8))
    small = {"distillation__student": "edge-cnn(width=4)", "distillation__public": file}
    asked = {**small, "distillation__copies": copies}
    if not refused:
        check_models(study(**asked))
        return
    said = r"distillation\.copies = 0 with a single .*\(BatchNorm\).*copies to 1"
    with pytest.raises(ConfigError, match=said):
        check_models(study(**asked))
    check_models(study(**asked, distillation__enabled=False, export__enabled=False))


def test_models_that_fit_pass():
    check_models(study(evaluation__attacks=["pgd(target=1)", "fgsm", "square(queries=5)", "transfer"]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"federation__pre_aggregators": ["bucketing"], "federation__aggregator": "fldetector"},
            r"federation\.pre-aggregators = .*mixes",
        ),
        ({"federation__pre_aggregators": ["nnm"], "federation__aggregator": "foolsgold"}, "mixes clients"),
        (
            {"federation__pre_aggregators": ["clipping", "nnm"], "federation__aggregator": "fldetector"},
            "NearestNeighbourMixing mixes",
        ),
        ({"federation__pre_aggregators": ["bucketing(size=10)"]}, "of 10 clients leaves one update"),
        (
            {"federation__pre_aggregators": ["bucketing(size=5)"], "federation__participation": 0.5},
            "size = 5 of 5 clients",
        ),
        ({"federation__aggregator": "multi-krum(m=11)"}, "m = 11 and f = 0 of 10 clients"),
        (
            {"federation__aggregator": "multi-krum(m=9)", "federation__tolerate": 2},
            "m = 9 and f = 2 of 10 clients: .* choose 8 or fewer",
        ),
        ({"federation__aggregator": "rlr(threshold=10.5)"}, "threshold = 10.5 of 10 clients"),
        ({"federation__aggregator": "signguard(low=2)"}, "low = 2: choose a number from 0 to 1"),
        ({"federation__aggregator": "krum", "federation__participation": 0.2}, "clients"),
    ],
)
def test_rules_and_what_stands_before_them_go_together(settings, message):
    with pytest.raises(ConfigError, match=message):
        study(**settings)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"aggregator": "krum(f=100)"}, r'federation\.aggregator = "krum\(f=100\)": Krum with f = 100'),
        (
            {"aggregator": "trimmed-mean(f=5)", "tolerate": 1},
            r'federation\.aggregator = "trimmed-mean\(f=5\)": ',
        ),
        ({"aggregator": "rlr(threshold=11)", "tolerate": 1}, r"federation\.aggregator = "),
        ({"pre_aggregators": ["nnm(f=9)"]}, r"federation\.pre-aggregators = \['nnm\(f=9\)'\]: "),
        ({"pre_aggregators": ["bucketing(size=100)"], "tolerate": 1}, r"federation\.pre-aggregators = "),
        ({"aggregator": "krum", "tolerate": 5}, r"federation\.tolerate = 5: Krum with f = 5"),
        ({"aggregator": "krum", "tolerate": 0.5}, r"federation\.tolerate = 0\.5: Krum with f = 5"),
        ({"pre_aggregators": ["nnm"], "tolerate": 6}, r"federation\.tolerate = 6: NearestNeighbourMixing"),
        (
            {"aggregator": "krum"},
            r'federation\.aggregator = "krum": Krum with f = 4 .*; f is the number of malicious clients in a round',
        ),
        ({"aggregator": "krum", "participation": 0.2}, r'federation\.aggregator = "krum": Krum with f = 0'),
    ],
)
def test_a_defence_that_is_infeasible_is_told_by_the_setting_that_makes_it_so(settings, key):
    given = {f"federation__{name}": value for name, value in settings.items()}
    attacked = {} if len(settings) > 1 else {"poisoning__attack": "sign-flip", "poisoning__malicious": 4}
    with pytest.raises(ConfigError, match=f"^{key}"):
        study(**given, **attacked)


def test_a_rule_that_remembers_clients_may_stand_behind_what_does_not_mix_them():
    for rule in ("fldetector", "foolsgold"):
        check_data(study(federation__pre_aggregators=["clipping", "arc"], federation__aggregator=rule))


def test_a_rule_is_not_told_of_more_attackers_than_a_round_has_clients():
    with pytest.raises(ConfigError, match=r"federation\.tolerate = 11: a round has 10 clients"):
        check_data(study(federation__tolerate=11))


def test_public_images_have_the_studys_shape(tmp_path):
    images, labels = np.zeros((60, 20, 20), np.uint8), np.arange(60) % 2
    parts = {
        f"{split}_{kind}": part
        for split in ("train", "val", "test")
        for kind, part in (("images", images), ("labels", labels))
    }
    np.savez(tmp_path / "other.npz", **parts)
    with pytest.raises(ConfigError, match=r"distillation\.public = .*\(20, 20, 1\).*\(28, 28, 1\)"):
        check_data(study(distillation__public=str(tmp_path / "other.npz")))
    own = study().dataset.train.images[:3]
    np.savez(tmp_path / "own.npz", images=np.concatenate([own, np.zeros((5, 28, 28, 1), np.uint8)]))
    with pytest.raises(ConfigError, match="3 of its 8 images are training images of the hospitals"):
        check_data(study(distillation__public=str(tmp_path / "own.npz")))
    tested = study().dataset.test.images[:2]
    np.savez(tmp_path / "tested.npz", images=np.concatenate([tested, np.zeros((5, 28, 28, 1), np.uint8)]))
    with pytest.raises(ConfigError, match="2 of its 7 images are test images of the study"):
        check_data(study(distillation__public=str(tmp_path / "tested.npz")))
    with pytest.raises(ConfigError, match=r'distillation\.public = "none\.npz"'):
        check_data(study(distillation__public="none.npz"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"student": "strided-cnn"}, 'set distillation.student = "edge-cnn"'),
        ({"image_size": 32}, "set distillation.image-size = 28"),
        ({"temperature": 5.0}, r'set training.loss = "tempered-cross-entropy\(temperature=5.0\)"'),
    ],
)
def test_defensive_distillation_is_of_the_same_network_and_temperature(settings, message):
    fitting = {"method": "defensive", "student": "edge-cnn", "temperature": 20.0}
    loss = {"training__loss": "tempered-cross-entropy(temperature=20.0)"}

    def given(values):
        return study(**loss, **{f"distillation__{key}": value for key, value in values.items()})

    check_data(given(fitting))
    with pytest.raises(ConfigError, match=message):
        check_data(given({**fitting, **settings}))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"training__recipe_from": 2, "training__recipe": "pgd"}, "training.recipe-from = 2"),
        ({"training__recipe_clients": 0.5, "training__recipe": "pgd"}, "training.recipe-clients = 0.5"),
    ],
)
def test_clients_that_exchange_answers_train_alike(settings, said):
    with pytest.raises(ConfigError, match=f'"class-logits" with {said}'):
        check_data(study(distillation__teacher="class-logits", **settings))
    check_data(study(distillation__teacher="local-models", **settings))


def test_methods_with_labels_need_one_label_an_image(tmp_path):
    check_data(study(distillation__method="ard"))
    np.savez(tmp_path / "public.npz", images=np.zeros((4, 28, 28, 1), np.uint8))
    unlabelled = {"distillation__public": str(tmp_path / "public.npz")}
    check_data(study(distillation__method="rslad", **unlabelled))
    check_data(study(distillation__method="rslad", distillation__mixup=1.0))
    with pytest.raises(ConfigError, match=r'"ard" with .*these have no labels; choose a method without'):
        check_data(study(distillation__method="ard", **unlabelled))
    with pytest.raises(
        ConfigError, match=r'"iad" with distillation\.mixup = 1\.0: it needs one label an image'
    ):
        check_data(study(distillation__method="iad", distillation__mixup=1.0))
    with pytest.raises(ConfigError, match=r'distillation\.method = "rslad": it needs one class an image'):
        check_data(study(distillation__method="rslad", data__multilabel=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attack": "sign-flip", "malicious": 3}, "it uses no updates of others"),
        ({"attack": "label-flip + delta-search", "malicious": 3}, "says nothing about honest clients"),
        ({"attack": "alie", "malicious": 1}, "only 1 client is malicious"),
    ],
)
def test_knowledge_of_own_updates_is_refused_where_it_would_change_nothing(settings, message):
    with pytest.raises(ConfigError, match=message):
        check_data(
            study(
                **{f"poisoning__{key}": value for key, value in settings.items()}, poisoning__knowledge="own"
            )
        )
    check_data(study(poisoning__attack="alie", poisoning__malicious=3, poisoning__knowledge="own"))


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        *((rule, "needs images that only the server has") for rule in ("fltrust", "flshield", "feddf")),
        ("deepsight", "needs images that only the server has"),
        *((rule, "remembers updates of earlier") for rule in ("foolsgold", "fldetector", "sparsefed")),
        ("centred-clipping", "remembers updates of earlier"),
        *((rule, "") for rule in ("median", "krum", "flame", "alignins")),
    ],
)
def test_who_knows_own_updates_only_cannot_try_what_the_server_alone_can(rule, reason):
    def told(attack, knowledge):
        given = study(
            poisoning__attack=attack,
            poisoning__malicious=2,
            poisoning__knowledge=knowledge,
            federation__aggregator=rule,
        )
        settings = given.experiment
        return list(
            knowledge_suffices(
                settings.federation, settings.poisoning, given.attack, given.defence, given.sampled
            )
        )

    for attack in ("delta-search", "optimised-alie", "optimised-ipm"):
        found = told(attack, "own")
        assert len(found) == bool(reason)
        assert all(reason in one and f'"{attack}"' in one and f'"{rule}"' in one for one in found)
        assert told(attack, "all") == []
    assert told("alie", "own") == [], "it does not try the rule"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"federation__aggregator": "fltrust"}, "divided by their local steps"),
        ({"federation__aggregator": "flshield"}, "divided by their local steps"),
        ({"federation__aggregator": "feddf"}, "divided by their local steps"),
        (
            {"distillation__enabled": True, "distillation__teacher": "clients"},
            "do not send the model that they trained",
        ),
    ],
)
def test_updates_per_local_step_do_not_go_with_what_needs_whole_ones(settings, message):
    check_data(study(**settings))
    with pytest.raises(ConfigError, match=message):
        check_data(study(**settings, training__algorithm="fednova"))


@pytest.mark.parametrize("rule", ["feddf", "flshield", "fltrust", "deepsight"])
@pytest.mark.parametrize("algorithm", ["fedper", "fedrep", "fedbn"])
def test_a_rule_that_asks_models_is_sent_all_of_them(rule, algorithm):
    """A client's model with the initial part in the place of its own is none that was trained."""
    check_data(study(federation__aggregator=rule, training__algorithm=algorithm))
    kept = {"training__algorithm": f"{algorithm}(average=False)"}
    check_data(study(federation__aggregator="mean", **kept))
    with pytest.raises(
        ConfigError,
        match=rf'federation\.aggregator = "{rule}" with training\.algorithm = "{algorithm}\(average=False\)": clients '
        r"do not send .*; set average = True, or choose another rule",
    ):
        check_data(study(federation__aggregator=rule, **kept))


def test_the_server_fuses_no_layers_that_clients_do_not_train():
    late = {"training__layers": "head", "training__unfreeze": ["2: all"]}
    check_data(study(federation__aggregator="flshield", **late))
    check_data(study(federation__aggregator="feddf", training__layers="head"))
    with pytest.raises(
        ConfigError, match=r'"feddf" with training\.unfreeze = \[\'2: all\'\]: .*take training\.unfreeze out'
    ):
        check_data(study(federation__aggregator="feddf", **late))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {
                "federation__aggregator": "bnguard",
                "federation__postprocessors": ["gaussian-dp(noise='local')"],
            },
            "which this promise of privacy hides",
        ),
        (
            {"federation__aggregator": "bnguard", "training__algorithm": "fedbn(average=False)"},
            "BatchNorm statistics, which they do not send",
        ),
        (
            {"federation__aggregator": "deepsight", "training__algorithm": "fedper(average=False)"},
            "output layers, which they do not send",
        ),
    ],
)
def test_a_rule_is_sent_what_it_compares(settings, message):
    with pytest.raises(ConfigError, match=message):
        check_models(study(**settings))
    check_models(study(federation__aggregator=settings["federation__aggregator"]))
