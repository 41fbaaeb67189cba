"""Flower's control API answers whoever sends the account's token, and nobody else."""

import pytest
from flwr.common.constant import ACCESS_TOKEN_KEY, NOOP_FLWR_AID
from flwr.supercore.error import FlowerError

from fedrobust.deployment.account import AccountError, AccountToken, read_token

TOKEN = "5" * 40 + "a" * 24


def sent(*values):
    return [(ACCESS_TOKEN_KEY, value) for value in values]


@pytest.mark.parametrize("value", [TOKEN, TOKEN.encode()])
def test_the_token_is_the_account(value):
    valid, account = AccountToken(TOKEN).validate_tokens_in_metadata(sent(value))
    assert valid
    assert account is not None
    assert account.flwr_aid == NOOP_FLWR_AID


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        sent(""),
        sent(TOKEN[:-1]),
        sent(TOKEN + "a"),
        sent(TOKEN.upper()),
        sent(f" {TOKEN}"),
        sent("ü" * 64),
        sent(TOKEN, TOKEN),
        [("flwr-refresh-token", TOKEN)],
        [("authorization", TOKEN)],
    ],
)
def test_anything_else_is_nobody(metadata):
    assert AccountToken(TOKEN).validate_tokens_in_metadata(metadata) == (False, None)


def test_no_token_is_given_out():
    account = AccountToken(TOKEN)
    for ask in (
        account.get_login_details,
        lambda: account.get_auth_tokens("device"),
        lambda: account.refresh_tokens(sent(TOKEN)),
    ):
        with pytest.raises(FlowerError):
            ask()


def written(folder, content, mode=0o600):
    path = folder / "account.token"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_token_is_read_from_its_file(tmp_path):
    assert read_token(written(tmp_path, f"{TOKEN}\n".encode())) == TOKEN


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (b"", 0o600, "not a token"),
        (b"short", 0o600, "not a token"),
        (TOKEN.encode() + b"\n" + TOKEN.encode(), 0o600, "not a token"),
        (b"\xff" * 64, 0o600, "cannot be read"),
        (TOKEN.encode(), 0o644, "others than its owner"),
        (TOKEN.encode(), 0o620, "others than its owner"),
    ],
)
def test_a_token_that_is_none_or_open_is_refused(tmp_path, content, mode, reason):
    with pytest.raises(AccountError, match=reason):
        read_token(written(tmp_path, content, mode))


def test_a_missing_token_is_refused(tmp_path):
    with pytest.raises(AccountError, match="cannot be read"):
        read_token(tmp_path / "none")
