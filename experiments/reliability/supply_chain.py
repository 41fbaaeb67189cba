"""What is installed beside this project: licences, known vulnerabilities, and a bill of materials.

    python experiments/reliability/supply_chain.py             # licences, then pip-audit where the network allows
    python experiments/reliability/supply_chain.py --sbom sbom.json   # CycloneDX 1.6

The packages are those that an installation of fedrobust needs, by the metadata of the environment that runs this, with
all that they need in turn. A licence that is not in `ALLOWED` fails. pip-audit runs through `uvx`; where it cannot be
fetched or its database cannot be reached within `--seconds`, the check is skipped and says so.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ALLOWED = re.compile(
    r"apache|\bmit\b|bsd|isc\b|mpl|mozilla|psf|python software|zlib|unlicense|public domain|0bsd|cc0|hpnd|zpl|openssl|"
    r"lgpl|lesser general public",
    re.IGNORECASE,
)
"""Licences under which a program may depend on a library without taking over its licence."""

UNNAMED = {"libclang": "Apache-2.0 WITH LLVM-exception", "namex": "Apache-2.0", "ray": "Apache-2.0"}
"""Packages whose metadata name no licence, with the one in their repository."""


def needed(name: str = "fedrobust") -> dict[str, Distribution]:
    """Return the installed distributions that `name` needs, itself included, by normalised name."""
    found: dict[str, Distribution] = {}
    waiting = [(name, frozenset[str]())]
    while waiting:
        each, extras = waiting.pop()
        key = normal(each)
        if key in found and not extras:
            continue
        try:
            found[key] = distribution(each)
        except PackageNotFoundError:
            continue  # of another platform
        for line in found[key].requires or ():
            one = Requirement(line)
            known = normal(one.name) in found and not one.extras
            if not known and (
                one.marker is None or any(one.marker.evaluate({"extra": e}) for e in extras or ("",))
            ):
                waiting.append((one.name, frozenset(one.extras)))
    return dict(sorted(found.items()))


def normal(name: str) -> str:
    """Return a package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(package: Distribution) -> str:
    """Return the licence that a package's metadata name, "" if they name none."""
    about: Any = package.metadata
    expression = about.get("License-Expression", "") or ""
    classes = [
        line.rpartition("::")[2].strip()
        for line in about.get_all("Classifier") or ()
        if line.startswith("License ::") and not line.endswith("OSI Approved")
    ]
    said = (about.get("License", "") or "").strip().splitlines()
    first = next((line.strip() for line in said if line.strip()), "")
    return expression or "; ".join(classes) or first[:100] or UNNAMED.get(normal(about["Name"]), "")


def refused(packages: dict[str, Distribution]) -> dict[str, str]:
    """Return the packages whose licence is not allowed, or not known, with what they say."""
    found = {name: licence(package) for name, package in packages.items()}
    return {name: text or "no licence named" for name, text in found.items() if not ALLOWED.search(text)}


def sbom(packages: dict[str, Distribution]) -> dict[str, Any]:
    """Return a bill of materials in CycloneDX 1.6: every package with version, licence and what it needs."""

    def reference(name: str) -> str:
        return f"pkg:pypi/{name}@{packages[name].version}"

    def component(name: str) -> dict[str, Any]:
        text = licence(packages[name])
        about: dict[str, Any] = {"type": "library", "bom-ref": reference(name), "name": name}
        about |= {"version": packages[name].version, "purl": reference(name)}
        return about | ({"licenses": [{"license": {"name": text}}]} if text else {})

    def inside(name: str) -> list[str]:
        names = {normal(Requirement(line).name) for line in packages[name].requires or ()}
        return sorted(reference(each) for each in names if each in packages)

    own = component("fedrobust") | {"type": "application"}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": own},
        "components": [component(name) for name in packages if name != "fedrobust"],
        "dependencies": [{"ref": reference(name), "dependsOn": inside(name)} for name in packages],
    }


def vulnerabilities(packages: dict[str, Distribution], seconds: float) -> tuple[str, bool]:
    """Return what pip-audit says of the packages, and whether it found anything; "skipped: ..." where it cannot run."""
    if shutil.which("uvx") is None:
        return "skipped: pip-audit needs uvx, which is not installed", False
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "packages.txt"
        lines = [f"{name}=={package.version}" for name, package in packages.items() if name != "fedrobust"]
        listed.write_text("\n".join(lines) + "\n")
        words = [
            "uvx",
            "--quiet",
            "pip-audit",
            "--no-deps",
            "--disable-pip",
            "--progress-spinner=off",
            "-f",
            "json",
        ]
        try:
            done = subprocess.run(
                [*words, "-r", str(listed)], capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return f"skipped: pip-audit got no answer within {seconds:g} seconds", False
    try:
        report = json.loads(done.stdout)
    except ValueError:
        why = (done.stderr.strip().splitlines() or ["no answer"])[-1][:200]
        return f"skipped: pip-audit cannot run here ({why})", False
    found = [
        f"{each['name']} {each['version']}: {', '.join(one['id'] for one in each['vulns'])}"
        for each in report["dependencies"]
        if each.get("vulns")
    ]
    return "\n".join(found) or f"no known vulnerability in {len(report['dependencies'])} packages", bool(
        found
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sbom", type=Path, help="write the bill of materials there, and check nothing")
    parser.add_argument("--seconds", type=float, default=60.0, help="most seconds of pip-audit")
    parser.add_argument("--strict", action="store_true", help="fail also where a vulnerability is known")
    given = parser.parse_args()
    packages = needed()
    if given.sbom:
        given.sbom.write_text(json.dumps(sbom(packages), indent=1) + "\n")
        return
    bad = refused(packages)
    for name, text in bad.items():
        print(f"licences: {name}: {text}: not allowed; see ALLOWED")
    if not bad:
        print(f"licences: {len(packages)} packages, all allowed")
    said, found = vulnerabilities(packages, given.seconds)
    print(f"vulnerabilities: {said}")
    sys.exit(bool(bad) or (found and given.strict))


if __name__ == "__main__":
    main()
