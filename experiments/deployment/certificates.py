"""Make the keys of a federation: an authority, the coordinator's certificate, the researcher's token.

    python experiments/deployment/certificates.py keys --host coordinator.example.org

The folder then holds `ca.crt` (every host gets it), `server.pem` and `server.key` (the coordinator's), `account.token`
(the researcher gets it), and `nodes/`, an empty folder for the hospitals' public keys. The certificate is always valid
for this machine, too: for localhost, 127.0.0.1 and ::1.

A hospital makes its own key pair, `ssh-keygen -t ecdsa -b 384 -N "" -f node`, and sends `node.pub`. With `--nodes 3`,
for a trial on one machine, the pairs of clients 0 to 2 are made here: `node-i` and `nodes/node-i.pub`.
"""

import argparse
import secrets
from pathlib import Path

from fedrobust.deployment.certificates import (
    Authority,
    CertificateError,
    new_key,
    node_key,
    node_public_key,
    pem,
    private_file,
    public_file,
    server_certificate,
    server_key,
)


def make(folder: Path, hosts: list[str], nodes: int) -> None:
    """Write all files of a federation into `folder`."""
    authority, server = Authority.new(), new_key()
    certificate = server_certificate(authority, server.public_key(), hosts)
    (folder / "nodes").mkdir(parents=True, exist_ok=True)
    public_file(folder / "ca.crt", pem(authority.certificate))
    public_file(folder / "server.pem", pem(certificate))
    private_file(folder / "server.key", server_key(server))
    private_file(folder / "account.token", f"{secrets.token_hex(32)}\n".encode())
    for node in range(nodes):
        key = new_key()
        private_file(folder / f"node-{node}", node_key(key))
        public_file(folder / "nodes" / f"node-{node}.pub", node_public_key(key.public_key()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument(
        "--host", action="append", default=[], help="name or address of the coordinator; repeatable"
    )
    parser.add_argument("--nodes", type=int, default=0, help="make key pairs for so many nodes, for a trial")
    options = parser.parse_args()
    if options.nodes < 0:
        parser.error(f"--nodes {options.nodes}: 0 or more")
    if options.folder.exists():
        parser.error(f"{options.folder}: exists already; the keys of a federation are not overwritten")
    try:
        make(options.folder, options.host, options.nodes)
    except (OSError, CertificateError) as error:
        parser.error(str(error))
    print(f"{options.folder}: {', '.join(sorted(path.name for path in options.folder.iterdir()))}")


if __name__ == "__main__":
    main()
