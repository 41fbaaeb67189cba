"""Study files, sweeps and output folders that cannot be used."""

import os

import pytest

MANY = ", ".join(map(str, range(1, 1001)))

STUDIES = {
    "unknown table": ("[federtion]\nrounds = 3\n", "federtion: unknown key"),
    "unknown key": ("[federation]\nroundz = 3\n", "did you mean federation.rounds?"),
    "text for a number": ('[federation]\nclients = "ten"\n', 'federation.clients = "ten"'),
    "number for a table": ("federation = 3\n", "federation = 3"),
    "list for a number": ("[federation]\nclients = [3]\n", "federation.clients = [3]"),
    "fraction for a count": ("[federation]\nclients = 3.5\n", "federation.clients = 3.5"),
    "truth value for a count": ("[federation]\nclients = true\n", "federation.clients = True"),
    "date": ("seed = 2020-01-01\n", "seed = datetime.date"),
    "below range": ("[federation]\nclients = 0\n", "greater than or equal to 1"),
    "above range": ("[federation]\nclients = 4611686018427387904\n", "less than or equal to 1000000"),
    "beyond 64 bits": ("seed = 99999999999999999999\n", "more than 64 bits"),
    "a hundred thousand digits": (f"seed = {'9' * 100_000}\n", "4300 digits"),
    "infinite": ("[training]\nlearning-rate = inf\n", "finite number"),
    "not a number": ("[training]\nlearning-rate = nan\n", "finite number"),
    "overflow": ("[training]\nlearning-rate = 1e999\n", "finite number"),
    "too large for float32": ("[training]\nlearning-rate = 1e300\n", "less than or equal to"),
    "contradiction of rule and tolerance": (
        '[federation]\naggregator = "krum"\ntolerate = 9\nclients = 10\n',
        "Krum with f = 9 of 10",
    ),
    "contradiction of rounds": (
        '[poisoning]\nattack = "sign-flip"\nmalicious = 1\nfirst-round = 5\nlast-round = 2\n',
        "before poisoning.first-round = 5",
    ),
    "resume nowhere": ("[output]\nresume = true\n", "output.dir must name"),
    "empty": ("", "the file is empty"),
    "UTF-16": ("seed = 1\n".encode("utf-16"), "not UTF-8 text"),
    "Latin-1": (b"name = 'caf\xe9'\n", "not UTF-8 text (byte 11)"),
    "nested a hundred thousand deep": ("x = " + "[" * 100_000, "nested too deeply"),
    "tables nested deep": ("[" + "a." * 5000 + "a]\n", "nested too deeply"),
    "a key twice": ("seed = 1\nseed = 2\n", "given twice"),
    "zero byte": (b"seed = 1\x00\n", "not a TOML file"),
    "name with a path": ('name = "../../x"\n', 'name = "../../x"'),
    "name with control characters": ('name = "a\\u001b[31m\\nb"\n', "name = 'a\\x1b[31m\\nb'"),
    "name longer than a file's": (f'name = "{"x" * 300}"\n', "at most 100 characters"),
    "a rule of a hundred thousand brackets": (f'[federation]\naggregator = "{"(" * 100_000}"\n', "write a name"),
    "a rule with a power": ('[federation]\naggregator = "multi-krum(m=9**9**9)"\n', "is a number, a quoted"),
    "a rule with a call": ('[federation]\naggregator = "krum(f=__import__(\'os\').abort())"\n', "is a number"),
    "a rule that does not exist": ('[federation]\naggregator = "nope"\n', "'nope' is no aggregation rule"),
    "ten thousand epsilons": ("[evaluation]\nepsilons = [" + "0.001," * 10_000 + "]\n", "stands twice"),
    "five thousand attacks": ("[evaluation]\nattacks = [" + '"pgd",' * 5_000 + "]\n", "stands twice"),
    "five thousand files": (
        '[data]\npartition = "site"\nclients = [' + '"a.npz",' * 5_000 + "]\n",
        "a.npz: no such file",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", STUDIES)
def test_a_study_file(refused, tmp_path, case):
    content, message = STUDIES[case]
    (tmp_path / "study.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    refused("run", "study.toml", message=message)


def test_a_study_of_a_hundred_megabytes_is_not_read(refused, tmp_path):
    with (tmp_path / "study.toml").open("wb") as file:
        file.truncate(100 * 2**20)
    refused("run", "study.toml", message="longer than 1 MB")


def test_devices_folders_and_circles_of_links(refused, tmp_path):
    os.symlink("study.toml", tmp_path / "study.toml")
    refused("run", "study.toml", message="symbolic links")
    refused("run", "/dev/zero", message="longer than 1 MB")
    refused("run", "/dev/null", message="the file is empty")
    refused("run", ".", message="cannot be read")


def test_all_faults_of_a_file_are_told_a_line_each(command, tmp_path):
    (tmp_path / "study.toml").write_text("[federation]\nclients = 0\nrounds = -1\nroundz = 1\n")
    done = command("run", "study.toml")
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"[federation]\nrounds = [{MANY}]\nclients = [{MANY}]\n", "1,000,000 combinations"),
        ("[federation]\nrounds = []\n", "at least one value"),
        ('[federation]\nrounds = [1, "two"]\n', 'federation.rounds = "two"'),
        ("", "the file is empty"),
        ("[federation]\nroundz = [1, 2]\n", "unknown key"),
    ],
)
def test_a_sweep(refused, tmp_path, text, message):
    (tmp_path / "sweep.toml").write_text(text)
    refused("bench", "sweep.toml", message=message)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("file", "is a file; name a folder"),
        ("file/below", "is a file; name a folder"),
        ("used", "the folder is not empty"),
        ("x" * 300, "a name of 300 bytes; 255 are the most"),
        ("a\0b", "not a path that can be used"),
        ("~nobody-of-this-name/x", "not a path that can be used"),
    ],
)
def test_a_run_folder_is_looked_at_before_anything_is_built(refused, tmp_path, monkeypatch, out, message):
    """And before the seconds that the import of TensorFlow takes."""
    monkeypatch.setattr("fedrobust.engines.simulate.carry", lambda *_, **__: pytest.fail("the study began"))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("mine")
    refused("run", "quickstart", "--out", out, message=message)


def test_a_run_folder_that_may_not_be_written(refused, tmp_path, monkeypatch):
    """Root may write everywhere: the system's answer is replaced."""
    allowed = os.access
    monkeypatch.setattr("os.access", lambda path, mode: mode & os.W_OK == 0 and allowed(path, mode))
    refused("run", "quickstart", "--out", "runs/one", message="nothing can be written in")
