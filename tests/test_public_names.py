"""What `import fedrobust` offers."""

import fedrobust
from fedrobust import api


def test_every_public_name_is_that_of_the_python_interface():
    for name in fedrobust.__all__:
        assert getattr(fedrobust, name) is getattr(api, name)
    assert set(fedrobust.__all__) <= set(api.__all__)
