"""What is said of attacks on privacy: leaks are named, and nothing is called private."""

from dataclasses import replace

import pytest

from fedrobust.runs.leakage_words import leaks, reconstructs, summary, tells
from fedrobust.runs.record.leakage import (
    InversionRecord,
    LeakageRecord,
    MembershipRecord,
    PrivacyAuditRecord,
    PropertyRecord,
    RateRecord,
)

RATE = RateRecord(
    false_positive_rate=0.01, value=0.02, interval=(0.005, 0.05), found=2, members=100, false=1, others=100
)
FAILED = MembershipRecord(
    attack="lira",
    sees="model",
    target="model",
    others="test images",
    auc=0.51,
    interval=(0.45, 0.57),
    rates=(RATE,),
)
INVERSION = InversionRecord(
    attack="inverting-gradients",
    client=0,
    round=1,
    images=1,
    steps=1,
    batchnorm="none",
    labels_found=1,
    psnr=(31.0,),
    neighbour_psnr=(19.0,),
    matched=0.99,
)
PROPERTY = PropertyRecord(
    attack="prevalence",
    finding="malignant",
    clients=10,
    updates=64,
    error=0.1,
    constant_error=0.2,
    interval=(0.05, 0.15),
)
AUDIT = PrivacyAuditRecord(
    unit="client",
    mechanism="gaussian-dp",
    claimed=3.0,
    delta=1e-5,
    canaries=1000,
    guesses=500,
    right=400,
    bound=1.2,
    ceiling=5.8,
    noise=2.0,
    noise_claimed=2.0,
    caught=False,
)


def found(**rows):
    return LeakageRecord(run="study", seed=0, **rows)


def text(**rows):
    return " ".join(summary(found(**rows)))


def test_a_leak_is_better_than_guessing_and_than_the_control():
    assert not leaks(FAILED)
    assert leaks(replace(FAILED, interval=(0.52, 0.6)))
    assert not leaks(replace(FAILED, interval=(0.52, 0.6), control_auc=0.55))
    sharp = replace(RATE, value=0.2, interval=(0.12, 0.3))
    assert leaks(replace(FAILED, rates=(sharp,)))
    assert not leaks(replace(FAILED, rates=(sharp,), control_auc=0.55))


def test_an_image_is_reconstructed_if_it_is_recognisable_and_no_other_image_is_as_near():
    assert reconstructs(INVERSION)
    assert not reconstructs(replace(INVERSION, psnr=(19.5,)))
    assert not reconstructs(replace(INVERSION, neighbour_psnr=(32.0,)))
    assert tells(PROPERTY)
    assert not tells(replace(PROPERTY, interval=(-0.01, 0.2)))


@pytest.mark.parametrize(
    "record",
    [None, found(), found(membership=(FAILED,)), found(audits=(AUDIT,)), found(skipped=("lira: why not",))],
)
def test_without_a_leak_nothing_is_called_private_and_what_is_unknown_is_said(record):
    told = " ".join(summary(record)).lower()
    assert "is private" not in told
    assert "nothing is known" in told or "no proof of privacy" in told
    assert "leak:" not in told


def test_what_was_not_attacked_is_unknown():
    told = text(membership=(FAILED,))
    assert "unknown: reconstruction of images from updates; shares of a class at hospitals" in told
    assert (
        "No leak found by lira on this run, with up to 0 shadow federations, 100 members and 100 others"
        in told
    )
    assert "unknown" not in text(membership=(FAILED,), inversion=(INVERSION,), property=(PROPERTY,))


def test_leaks_come_with_their_figures():
    told = text(
        membership=(replace(FAILED, auc=0.7, interval=(0.6, 0.8)),),
        inversion=(INVERSION,),
        property=(PROPERTY,),
    )
    assert "Leak: lira on this run" in told
    assert "AUC 0.700 (95 %: 0.600-0.800); 2.0% of members at 1.0% false positives" in told
    assert "Leak: inverting-gradients reconstructs images from 1 of 1 updates of 1 images" in told
    assert "Leak: updates tell the share of malignant" in told
    assert "no proof" not in told


def test_a_promise_is_refuted_by_its_bound_or_by_missing_noise_and_otherwise_only_not_refuted():
    assert "did not refute the promise: epsilon is at least 1.20 (95 %), claimed 3.00" in text(
        audits=(AUDIT,)
    )
    assert "out of its reach" not in text(audits=(AUDIT,))
    assert "claims above 5.80 are out of its reach" in text(audits=(replace(AUDIT, claimed=40.0),))
    caught = replace(AUDIT, caught=True, bound=4.0)
    assert "is refuted: epsilon is at least 4.00 (95 %), claimed 3.00" in text(audits=(caught,))
    silent = replace(AUDIT, caught=True, noise=0.0)
    assert "is refuted: noise of 0 clipping norms was measured, claimed 2" in text(audits=(silent,))


def test_noise_that_could_not_be_measured_is_not_called_zero():
    found = text(audits=(replace(AUDIT, noise=None),))
    assert "Its noise could not be measured." in found
    assert "Noise of 0" not in found
