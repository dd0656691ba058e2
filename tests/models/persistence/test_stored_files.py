"""Files of the registry, on any file system."""

from __future__ import annotations

import pytest
from streamgauge.models.errors import ModelError
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.persistence.stored_files import StoredFiles


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/models/pumps", "/models/pumps"),
        ("models@home?", "models@home?"),
        ("memory://models", "memory://models"),
        ("memory://ann:hunter2@host/models?sig=hunter2", "memory://host/models"),
        ("memory://ann:hunter2@host", "memory://host"),
    ],
)
def test_messages_show_the_place_without_secrets(url, shown):
    assert StoredFiles(url).url == shown
    with pytest.raises(ModelError) as error:
        Registry(url).manifest("pumps", 1)
    assert shown in str(error.value)
    assert "hunter2" not in str(error.value)


def test_a_place_that_cannot_be_opened_is_shown_without_secrets():
    with pytest.raises(ModelError, match="the registry 'nowhere://host/models' cannot be opened") as error:
        StoredFiles("nowhere://ann:hunter2@host/models?sig=hunter2")
    assert "hunter2" not in str(error.value)
    assert error.value.__cause__ is None
