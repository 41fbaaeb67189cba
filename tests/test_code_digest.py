"""One number for all code: of every Python file of the packages, under its name."""

import hashlib

from fedrobust import code_digest as module
from fedrobust.code_digest import code_digest


def test_the_digest_of_the_code_is_that_of_every_python_file_under_its_name(tmp_path, monkeypatch):
    files = {
        "server/b.py": b"two",
        "fedrobust/deep/a.py": b"one",
        "clients/c.py": b"three",
        "fedrobust/code_digest.py": b"four",
    }
    for name, content in {**files, "tests/d.py": b"no", "server/e.txt": b"no", "f.py": b"no"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "fedrobust/code_digest.py"))
    joined = b"".join(name.encode() + b"\0" + files[name] + b"\0" for name in sorted(files))
    assert code_digest.__wrapped__() == hashlib.sha256(joined).hexdigest()
    monkeypatch.undo()
    assert code_digest() is code_digest(), "read once"
