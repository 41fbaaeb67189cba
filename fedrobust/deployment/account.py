"""The researcher's account: one token, which Flower's command line sends and the SuperLink verifies.

    python -m fedrobust.deployment.account hospitals keys/account.token

stores the token of the connection `hospitals` among Flower's credentials.
"""

import argparse
import hmac
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click
from flwr.cli.auth_plugin import OidcCliPlugin
from flwr.cli.flower_config import read_superlink_connection
from flwr.common.constant import ACCESS_TOKEN_KEY, NOOP_ACCOUNT_NAME, NOOP_FLWR_AID
from flwr.supercore.auth.typing import AccountAuthCredentials, AccountAuthLoginDetails, AccountInfo
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.superlink.auth_plugin import ControlAuthnPlugin

from fedrobust.errors import FedrobustError

SHORTEST = 32
"""Fewest characters of a token; `certificates.py` makes longer ones."""

Metadata = Sequence[tuple[str, str | bytes]]


class AccountError(FedrobustError):
    """The researcher's token cannot be read, or other users can read it."""


def read_token(path: Path) -> str:
    """Return the token in `path`.

    Raises:
        AccountError: the file cannot be read, holds no token, or is readable by other users.
    """
    try:
        others = path.stat().st_mode & 0o077
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise AccountError(f"{path}: the account's token cannot be read: {error}") from error
    if others:
        raise AccountError(f"{path}: others than its owner may read or write it: chmod 600 {path}")
    if len(token) < SHORTEST or not token.isalnum():
        raise AccountError(
            f"{path}: not a token: {SHORTEST} or more letters and digits, as certificates.py makes it"
        )
    return token


class AccountToken(ControlAuthnPlugin):
    """Authentication of Flower's control API by the token.

    Args:
        token: the researcher's.
    """

    def __init__(self, token: str):
        self.token = token.encode()

    def validate_tokens_in_metadata(self, metadata: Metadata) -> tuple[bool, AccountInfo | None]:
        """Return whether the request carries the token, and its account."""
        sent = [value for name, value in metadata if name == ACCESS_TOKEN_KEY]
        if len(sent) != 1:
            return False, None
        value = sent[0].encode() if isinstance(sent[0], str) else sent[0]
        if not hmac.compare_digest(value, self.token):
            return False, None
        # Open-source Flower has a single account, which owns every node and run.
        return True, AccountInfo(flwr_aid=NOOP_FLWR_AID, account_name=NOOP_ACCOUNT_NAME)

    def get_login_details(self) -> AccountAuthLoginDetails | None:
        """Refuse: the token is distributed by hand."""
        return self._refuse()

    def get_auth_tokens(self, device_code: str) -> AccountAuthCredentials | None:
        """Refuse: the token is distributed by hand."""
        return self._refuse()

    def refresh_tokens(
        self, metadata: Metadata
    ) -> tuple[Sequence[tuple[str, str | bytes]] | None, AccountInfo | None]:
        """Refuse: the token does not expire."""
        return self._refuse()

    def _refuse(self) -> NoReturn:
        raise FlowerError(ApiErrorCode.NO_ACCOUNT_AUTH, "tokens are handed over by hand, not fetched")


def main() -> None:
    """Store a connection's token."""
    parser = argparse.ArgumentParser(
        prog="python -m fedrobust.deployment.account", description="Store a token."
    )
    parser.add_argument("connection", help="name of the connection in Flower's config.toml")
    parser.add_argument("token", type=Path, help="file that holds the token")
    options = parser.parse_args()
    try:
        connection = read_superlink_connection(options.connection)
        if connection.address is None:
            raise AccountError(f"{options.connection}: the connection has no address")
        token = read_token(options.token)
    except (AccountError, click.ClickException) as error:
        sys.exit(str(error))
    # Flower's command line requires a refresh token to exist; it is never sent.
    OidcCliPlugin(connection.address).store_tokens(AccountAuthCredentials(token, "none"))
    print(f"flwr sends this token to {connection.address}")  # noqa: T201


if __name__ == "__main__":
    main()
