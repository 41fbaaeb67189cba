"""A bundle that is not the installed app, however it is made, is refused before anything of it is unpacked."""

import hashlib
import shutil
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
import tomli_w
from flwr.cli.build import build_fab_from_disk

from fedrobust.apps import PACKAGES
from fedrobust.deployment.bundle import COMPONENTS, ForeignAppError, check_app, installed_files

PROJECT = Path(__file__).parents[2]


def configuration(**changes):
    app = {
        "publisher": "fedrobust",
        "components": COMPONENTS,
        "config": {"seed": 0},
        **changes.pop("app", {}),
    }
    project = {"name": "fedrobust", "version": "0.1.0", **changes}
    return tomli_w.dumps({"project": project, "tool": {"flwr": {"app": app}}}).encode()


def files(**changes):
    """The files of an honest bundle, with some changed, added (new names) or left out (None)."""
    own = {"pyproject.toml": configuration(), **installed_files()}
    return {name: content for name, content in {**own, **changes}.items() if content is not None}


def bundle(contents, extra=()):
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*contents.items(), *extra]:
            archive.writestr(name, content)
        lines = [f"{name},{hashlib.sha256(content).hexdigest()},0" for name, content in contents.items()]
        archive.writestr(".info/CONTENT", "\n".join(lines))
    return buffer.getvalue()


@pytest.mark.slow
def test_what_flwr_builds_from_this_checkout_is_the_installed_app():
    check_app(build_fab_from_disk(PROJECT))


def test_files_of_the_users_own_in_the_checkout_do_not_travel(tmp_path):
    for package in PACKAGES:
        shutil.copytree(PROJECT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, tmp_path)
    (tmp_path / "docs").mkdir()
    for name in ("figures.json", "run.toml", "notes.yml", "mine.py", "docs/page.md", "clients/notes.md"):
        (tmp_path / name).write_text("")
    check_app(build_fab_from_disk(tmp_path))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"README.md": b"another text"},
        {"CHANGELOG.md": b"# Changes"},
        {"pyproject.toml": configuration(app={"config": {"seed": 7, "federation": {"rounds": 3}}})},
        {"pyproject.toml": configuration(app={"fab-exclude": ["tests/**"]})},
    ],
)
def test_settings_and_documentation_may_differ(changes):
    check_app(bundle(files(**changes)))


APP = installed_files()["clients/app.py"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"clients/app.py": APP + b"\n"}, "clients/app.py is too large"),
        ({"clients/app.py": APP[:-1]}, "clients/app.py has SHA-256"),
        ({"clients/app.py": APP.replace(b"answer", b"ansver")}, "clients/app.py has SHA-256"),
        ({"server/app.py": b""}, "server/app.py has SHA-256"),
        ({"server/replies.py": None}, "no server/replies.py"),
        ({"clients/__init__.py": None}, "no clients/__init__.py"),
        ({"pyproject.toml": None}, "no pyproject.toml"),
        ({"clients/more.py": b"import os"}, "'clients/more.py'"),
        ({"sitecustomize.py": b"import os"}, "'sitecustomize.py'"),
        ({"numpy.py": b"import os"}, "'numpy.py'"),
        ({"fedrobust/__init__.py": b"import os"}, "'fedrobust/__init__.py'"),
        ({"fedrobust.py": b""}, "'fedrobust.py'"),
        ({"clients/app.so": b"\x7fELF"}, "'clients/app.so'"),
        ({"clients.pth": b"import os"}, "'clients.pth'"),
        ({"clients/": b""}, "'clients/'"),
        ({"../clients/app.py": APP}, "'../clients/app.py'"),
        ({"/clients/app.py": APP}, "'/clients/app.py'"),
        ({"clients/./app.py": APP}, "'clients/./app.py'"),
        ({"Clients/app.py": APP}, "'Clients/app.py'"),
        ({"../evil.md": b""}, "'../evil.md'"),
        ({"run.toml": b"seed = 1"}, "'run.toml'"),
        ({"README.md": b"x" * (1 << 21)}, "README.md is too large"),
        ({"pyproject.toml": b"# " + b"x" * (1 << 21)}, "pyproject.toml is too large"),
        ({"pyproject.toml": b"not toml ="}, "cannot be read"),
        ({"pyproject.toml": b"\xff\xfe"}, "cannot be read"),
        ({"pyproject.toml": b"[project]\nname = 'fedrobust'"}, "cannot be read"),
        ({"pyproject.toml": configuration(version="9.9")}, "it is 'fedrobust' '9.9'"),
        ({"pyproject.toml": configuration(name="stranger")}, "it is 'stranger'"),
        (
            {"pyproject.toml": configuration(app={"components": {**COMPONENTS, "clientapp": "os:system"}})},
            "its components",
        ),
        (
            {
                "pyproject.toml": configuration(
                    app={"components": {**COMPONENTS, "serverapp": "server.app:x"}}
                )
            },
            "its components",
        ),
        (
            {"pyproject.toml": configuration(app={"components": {**COMPONENTS, "agentapp": "a:b"}})},
            "its components",
        ),
        ({"pyproject.toml": configuration(app={"components": {"agentapp": "a:b"}})}, "its components"),
        ({"pyproject.toml": configuration(app={"components": []})}, "its components"),
    ],
)
def test_anything_else_is_refused(changes, reason):
    with pytest.raises(ForeignAppError, match="runs the installed fedrobust") as refused:
        check_app(bundle(files(**changes)))
    assert reason in str(refused.value)


def test_a_name_that_is_there_twice_is_refused():
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = bundle(files(), extra=[("clients/app.py", b"import os")])
    with pytest.raises(ForeignAppError, match="twice"):
        check_app(twice)


@pytest.mark.parametrize("content", [b"", b"PK", b"import os", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_bundle_is_refused(content):
    with pytest.raises(ForeignAppError):
        check_app(content)


def test_a_damaged_bundle_is_refused_or_the_same(draw):
    honest = bundle(files())
    for place in draw.integers(0, len(honest), 300):
        damaged = bytearray(honest)
        damaged[place] ^= 1 << int(draw.integers(8))
        try:
            check_app(bytes(damaged))
        except ForeignAppError:
            continue
        with zipfile.ZipFile(BytesIO(damaged)) as archive:
            assert all(archive.read(name) == content for name, content in installed_files().items())
