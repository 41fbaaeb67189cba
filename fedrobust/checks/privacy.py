"""Checks of promises of privacy: what is claimed has to hold with this rule, algorithm, sampling and distillation."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fedrobust.aggregation import Mean
from fedrobust.algorithms.contract import is_steered
from fedrobust.config.sections import Data, Distillation, Evaluation, Federation, Model, Privacy, Training
from fedrobust.privacy import Promise, changes_aggregates, changes_models, looks_at_replies
from fedrobust.privacy.accounting import MISSING, installed
from fedrobust.training.augmentations.contract import mixes_labels
from fedrobust.training.losses.contract import uses_shares
from fedrobust.training.recipes.recipe import Recipe, two_batchnorms

UNIFORM = "mean(weighting='uniform')"


def promised(federation: Federation, postprocessors: Sequence[Any]) -> Iterator[str]:
    """There is at most one promise, and no other postprocessor at the server, whose result it would not know.

    Args:
        federation: names the postprocessors.
        postprocessors: of the study.
    """
    named = f"federation.postprocessors = {list(federation.postprocessors)}"
    promises = [one for one in postprocessors if getattr(one, "promise", None) is not None]
    if not promises:
        return
    if not installed():
        yield f"{named}: {MISSING}"
    if len(promises) > 1:
        yield f"{named}: two promises of differential privacy, which are not accounted together; keep one of them"
    elif postprocessors[-1] is not promises[0]:
        yield f"{named}: what comes after clipping and noise changes both; put the differential privacy last"
    others = [one for one in postprocessors if one not in promises]
    if changes_aggregates(others) or looks_at_replies(others):
        yield (
            f"{named}: one of them changes updates at the server, beside the differential privacy, which knows the "
            "sensitivity of clipped updates alone; take it out"
        )


def sensitivity_known(
    federation: Federation, promise: Promise | None, rule: Any, before: Sequence[Any]
) -> Iterator[str]:
    """Noise covers the sensitivity of the aggregate: known of a uniform mean; with noise at each client any rule goes.

    A median, a selection or a mean by claimed sizes may change by more than C / n when one client changes.

    Args:
        federation: names rule, pre-aggregators and postprocessors.
        promise: of the clients; None: nothing is promised.
        rule: of the study.
        before: its pre-aggregators.
    """
    if promise is None:
        return
    named = f"federation.postprocessors = {list(federation.postprocessors)}"
    local = "choose noise='local', with which any rule may follow"
    uniform = isinstance(rule, Mean) and rule.weighting == "uniform" and rule.streams
    if promise.noise != "local" and not uniform:
        yield (
            f'federation.aggregator = "{federation.aggregator}" with {named}: the noise covers what one client can '
            f'change in a uniform mean, and no more; set federation.aggregator = "{UNIFORM}", or {local}'
        )
    if promise.noise != "local" and before:
        yield (
            f"federation.pre-aggregators = {list(federation.pre_aggregators)} with {named}: they mix single updates "
            f"before the noise, which does not know what one client can change then; take them out, or {local}"
        )
    if getattr(rule, "BY_CLIENT", False):
        yield (
            f'federation.aggregator = "{federation.aggregator}" with {named}: the rule needs the training losses of '
            "the clients, which no noise protects, so that they do not send them; choose another rule"
        )


def sampling_known(
    federation: Federation, promise: Promise | None, training: Training, algorithm: Any
) -> Iterator[str]:
    """The accounting knows how clients are sampled, and nobody else learns how many were.

    Args:
        federation: sampling, availability, fewest replies.
        promise: of the clients; None: nothing is promised.
        training: names the algorithm.
        algorithm: of the study.
    """
    if promise is None:
        return
    sampling = promise.releases.sampling
    named = f"federation.postprocessors = {list(federation.postprocessors)}"
    if sampling == "without-replacement" and federation.availability:
        yield (
            f"federation.availability = {list(federation.availability)} with {named} and federation.participation = "
            f"{federation.participation}: the number of members varies, and sampling without replacement is accounted "
            'for a fixed one; set federation.sampling = "poisson", or federation.participation = 1'
        )
    if promise.noise == "distributed" and federation.availability:
        yield (
            f"federation.availability = {list(federation.availability)} with {named}: each client adds its share of "
            "the noise of all that are asked, and with each one that is away its share is missing; take it out, or "
            "choose noise='server'"
        )
    if promise.noise == "distributed" and federation.sampling == "poisson" and federation.participation < 1:
        yield (
            f'federation.sampling = "poisson" with {named}: each client adds its share of the noise of a known number '
            "of clients, and the number of drawn ones varies; choose noise='server', or federation.sampling = \"fixed\""
        )
    if promise.noise == "distributed" and federation.min_replies < 1:
        yield (
            f"federation.min-replies = {federation.min_replies} with {named}: with each reply that is missing, its "
            "share of the noise is missing; set federation.min-replies = 1"
        )
    if sampling == "poisson" and hasattr(algorithm, "server"):
        yield (
            f'training.algorithm = "{training.algorithm}" with {named} and federation.sampling = "poisson": its server '
            "side uses the number of replies, which has to stay unknown; choose another algorithm, such as fedprox"
        )


def statistics_sent(
    federation: Federation, promise: Promise | None, training: Training, recipe: Recipe
) -> Iterator[str]:
    """Clients with a promise send no BatchNorm statistics, which the second set of a recipe needs.

    Args:
        federation: names the postprocessors.
        promise: of the clients; None: nothing is promised.
        training: names the recipe.
        recipe: of the study.
    """
    if promise is not None and two_batchnorms(recipe):
        yield (
            f'training.recipe = "{training.recipe}" with federation.postprocessors = {list(federation.postprocessors)}:'
            " clients send no BatchNorm statistics, which carry no noise, and the server can measure those of clean "
            "images alone; choose another recipe"
        )


def nothing_beside(
    federation: Federation, promise: Promise | None, distillation: Distillation
) -> Iterator[str]:
    """Clients are not asked for more than the promise covers.

    Args:
        federation: names the postprocessors.
        promise: of the clients; None: nothing is promised.
        distillation: names the teacher.
    """
    if promise is None:
        return
    named = f"federation.postprocessors = {list(federation.postprocessors)}"
    if distillation.enabled and distillation.teacher != "global-model":
        yield (
            f'distillation.teacher = "{distillation.teacher}" with {named}: clients would send models of their own, or '
            'what these answer, beside what is accounted; set distillation.teacher = "global-model"'
        )


def examples_protected(
    privacy: Privacy,
    data: Data,
    training: Training,
    algorithm: Any,
    attack: Any,
    distillation: Distillation,
    loss: Any,
    augmentations: Sequence[Any],
) -> Iterator[str]:
    """The gradient of an image depends on no other image, and all that is trained on is accounted.

    Args:
        privacy: settings of DP-SGD.
        data: resampling.
        training: of the clients.
        algorithm: of the study.
        attack: of the study.
        distillation: names the teacher.
        loss: of the study.
        augmentations: of every batch.
    """
    if not privacy.protects_examples:
        return
    named = _dp_sgd(privacy)
    if not installed():
        yield f"{named}: {MISSING}"
    if data.undersample:
        yield f"data.undersample = true with {named}: which images are kept depends on the others; set false"
    if data.augment:
        yield (
            f"data.augment = {data.augment} with {named}: an image would be trained on {data.augment + 1} times, and "
            "the promise is of one; set data.augment = 0, and use training.augmentations"
        )
    if training.recipe != "plain":
        yield f'training.recipe = "{training.recipe}" with {named}: DP-SGD trains plainly; set recipe = "plain"'
    if training.class_weights != "none":
        yield (
            f'training.class-weights = "{training.class_weights}" with {named}: an image would change the weights of '
            'all others; set "none"'
        )
    if uses_shares(loss):
        yield (
            f'training.loss = "{training.loss}" with {named}: it uses the class shares of all images; choose another '
            'loss, such as "focal", or set balanced=False'
        )
    if mixes_labels(augmentations):
        yield f"training.augmentations = {list(training.augmentations)} with {named}: mixup mixes images; take it out"
    if training.unfreeze:
        yield f"training.unfreeze = {list(training.unfreeze)} with {named}: DP-SGD trains the same layers in all rounds"
    if is_steered(algorithm) or hasattr(algorithm, "passes"):
        yield (
            f'training.algorithm = "{training.algorithm}" with {named}: it corrects steps or trains more than once on '
            'the images of a round; choose another, such as "fedprox(mu=0.01)"'
        )
    if attack and attack.steers:
        yield f"poisoning.attack steers the steps of a client's training, which {named} does not allow; choose another"
    if distillation.enabled and distillation.teacher != "global-model":
        yield (
            f'distillation.teacher = "{distillation.teacher}" with {named}: the images would be trained on beside what '
            'is accounted; set distillation.teacher = "global-model"'
        )


def nothing_sent_beside(privacy: Privacy, training: Training, algorithm: Any) -> Iterator[str]:
    """Clients that train by DP-SGD send nothing but their weights, whatever the server asks for.

    Args:
        privacy: settings of DP-SGD.
        training: names the algorithm.
        algorithm: of the study.
    """
    if privacy.protects_examples and hasattr(algorithm, "sends"):
        yield (
            f'training.algorithm = "{training.algorithm}" with {_dp_sgd(privacy)}: it sends arrays beside weights, '
            'which no noise protects; choose another, such as "fedavg"'
        )


def losses_unread(privacy: Privacy, federation: Federation, rule: Any) -> Iterator[str]:
    """No rule weights clients by their training losses, which clients with DP-SGD do not send.

    Args:
        privacy: settings of DP-SGD.
        federation: names the rule.
        rule: of the study.
    """
    if privacy.protects_examples and getattr(rule, "BY_CLIENT", False):
        yield (
            f'federation.aggregator = "{federation.aggregator}" with {_dp_sgd(privacy)}: the rule needs the training '
            "losses of the clients, which no noise protects, so that they do not send them; choose another rule"
        )


def _dp_sgd(privacy: Privacy) -> str:
    key = "example-epsilon" if privacy.example_epsilon else "example-noise"
    return f"privacy.{key} = {privacy.example_epsilon or privacy.example_noise:g}"


def no_batch_statistics(privacy: Privacy, model: Model, classifier: Callable[[], Any]) -> Iterator[str]:
    """DP-SGD needs gradients of single images, and BatchNorm mixes those of a batch.

    Args:
        privacy: settings of DP-SGD.
        model: of the study.
        classifier: returns the network.
    """
    if privacy.protects_examples and classifier().layout.statistics:
        yield (
            f'model.normalization = "{model.normalization}" with privacy.example-clip: BatchNorm mixes the images of a '
            'batch, so that no image has a gradient of its own, and its statistics travel without noise; set "group", '
            'or model.batchnorm-policy = "frozen", or training.layers = "head"'
        )


def delta_small(privacy: Privacy, promise: Promise | None, clients: int) -> Iterator[str]:
    """Delta is below one in the number of clients: with more, publishing all data of one of them keeps the promise.

    Args:
        privacy: the delta.
        promise: of the clients; None: nothing is promised.
        clients: of the study.
    """
    if promise is not None and privacy.delta * clients >= 1:
        yield (
            f"privacy.delta = {privacy.delta:g} with federation.clients = {clients}: publishing all data of a client "
            f"drawn by chance would keep this promise; choose a delta well below {1 / clients:g}"
        )


def last_model_kept(
    federation: Federation, evaluation: Evaluation, postprocessors: Sequence[Any]
) -> Iterator[str]:
    """A server that changes the global model releases that of the last round, which has no noise.

    Args:
        federation: names the postprocessors, and may average models over rounds.
        evaluation: selects the model.
        postprocessors: of the study.
    """
    if not changes_models(postprocessors):
        return
    named = f"federation.postprocessors = {list(federation.postprocessors)}"
    if evaluation.select != "last":
        yield (
            f'evaluation.select = "{evaluation.select}" with {named}: models before the last have noise that is to be '
            'drawn anew at test time; set "last"'
        )
    if federation.average:
        yield (
            f"federation.average = {federation.average} with {named}: the average is neither clipped nor noisy as the "
            "models of single rounds are; set 0"
        )
