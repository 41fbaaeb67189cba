"""A user's own `server` and `clients`, beside the script, in the current folder, imported before or later."""

import importlib
import shutil
import subprocess
import sys
import tomllib
import types

import pytest

from fedrobust.apps import HOME, INSTALLED, PACKAGES, load_app


@pytest.fixture
def clean(monkeypatch):
    """No module named server or clients is known yet; afterwards those of before are known again."""
    before = {
        name: module for name, module in sys.modules.items() if name.split(".")[0] in ("server", "clients")
    }
    for name in before:
        monkeypatch.delitem(sys.modules, name)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in ("server", "clients")]:
        del sys.modules[name]
    sys.modules.update(before)
    importlib.invalidate_caches()


def is_ours(app, package):
    return sys.modules["flwr"] and type(app).__module__.startswith("flwr.") and package


def test_without_a_namesake_the_modules_are_the_plain_ones(clean):
    app = load_app("clients.app:app")
    assert sys.modules["clients.app"].app is app


def test_a_module_that_the_user_has_imported_stays_in_place(clean):
    mine = types.ModuleType("server")
    mine.__file__ = "/home/somebody/server.py"
    mine.answer = 42
    sys.modules["server"] = mine
    app = load_app("server.app:app")
    assert is_ours(app, "server")
    assert sys.modules["server"] is mine
    assert "server.app" not in sys.modules
    assert load_app("server.app:app") is app, "loaded once"
    assert load_app("server.doctor:app") is not app


@pytest.mark.parametrize("kind", ["module", "package"])
def test_a_namesake_that_comes_first_on_the_path(clean, tmp_path, monkeypatch, kind):
    for name in ("server", "clients"):
        if kind == "module":
            (tmp_path / f"{name}.py").write_text("mine = True\n")
        else:
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").write_text("mine = True\n")
            (tmp_path / name / "app.py").write_text("app = 'mine'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert is_ours(load_app("server.app:app"), "server")
    assert is_ours(load_app("clients.app:app"), "clients")
    import clients
    import server

    assert server.mine
    assert clients.mine


def test_an_app_of_the_user_s_is_found_by_its_own_name(clean, tmp_path, monkeypatch):
    (tmp_path / "my_apps.py").write_text("app = 'mine'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_app("my_apps:app") == "mine"


def test_the_wheel_has_nothing_but_fedrobust_at_top_level():
    wheel = tomllib.loads((HOME / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["fedrobust"]
    assert all(place.startswith("fedrobust/") for place in wheel["force-include"].values())
    apps = {name: place for name, place in wheel["force-include"].items() if not name.endswith(".toml")}
    assert apps == {name: f"fedrobust/{INSTALLED.name}/{name}" for name in PACKAGES}


def test_an_installed_fedrobust_runs_a_study_beside_the_user_s_own_server_and_clients(tmp_path):
    """As a script with namesakes beside it, which it imports before and after."""
    site = tmp_path / "site-packages"
    shutil.copytree(HOME / "fedrobust", site / "fedrobust", ignore=shutil.ignore_patterns("__pycache__"))
    for name in PACKAGES:
        shutil.copytree(HOME / name, site / "fedrobust" / INSTALLED.name / name)
    (tmp_path / "server.py").write_text("port = 8080\n")
    (tmp_path / "clients.py").write_text("names = ['a']\n")
    (tmp_path / "script.py").write_text(
        "import server, fedrobust\n"
        "run = fedrobust.run(data__samples=60, federation__clients=2, federation__rounds=1, audit__enabled=False,\n"
        "    distillation__enabled=False, export__enabled=False, output__report=False,\n"
        "    evaluation__epsilons=(0.01,), data__min_size=1, output__dir='out')\n"
        "import clients\n"
        "assert server.port == 8080 and clients.names == ['a']\n"
        "assert fedrobust.__file__.startswith('" + str(site) + "')\n"
        "print(run.status)\n"
    )
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**__import__("os").environ, "PYTHONPATH": str(site)},
    )
    assert done.stdout.strip() == "finished", done.stderr
