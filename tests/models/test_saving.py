"""A model is written, and what Keras needs for it lies where a later start finds it."""

import tempfile

import pytest

from fedrobust.models.saving import save_model


class Model:
    """Stands for a Keras model, whose saving makes a folder for temporary files and may end in the middle."""

    def __init__(self, fails=False):
        self.fails, self.place = fails, None

    def save(self, path):
        self.place = tempfile.mkdtemp()
        if self.fails:
            raise OSError("full")
        path.write_text("saved")


@pytest.mark.parametrize("fails", [False, True])
def test_what_keras_writes_beside_the_file_is_gone_and_later_files_lie_where_they_did(
    tmp_path, monkeypatch, fails
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    model = Model(fails)
    if fails:
        with pytest.raises(OSError, match="full"):
            save_model(model, tmp_path / "model.keras")
    else:
        save_model(model, tmp_path / "model.keras")
        assert (tmp_path / "model.keras").read_text() == "saved"
    assert "/tmp/fedrobust-saving-" in model.place
    assert list((tmp_path / "tmp").iterdir()) == []
    assert tempfile.gettempdir() == str(tmp_path / "tmp")
