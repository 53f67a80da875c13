"""Every setting has a type, a range and a sentence; what is misspelled is refused."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any

import pytest

from gateway.errors import OperatorError
from gateway.settings import Settings, decode, environment_name, from_environment, redacted


@pytest.mark.parametrize("setting", fields(Settings), ids=lambda setting: setting.name)
def test_a_number_has_bounds_and_its_default_lies_in_them(setting: Field[Any]) -> None:
    name, meta, default = setting.name, setting.metadata, setting.default
    assert meta["meaning"]
    if not isinstance(default, int):
        return
    least, most = meta["bounds"]
    assert least <= default <= most
    for wrong in (least - 1, most + 1):
        with pytest.raises(OperatorError) as caught:
            Settings(**{name: wrong})
        assert environment_name(name) in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"SPENDGATE_WORKERS": "0"}, "SPENDGATE_WORKERS must be 1 to 256, not 0"),
        ({"SPENDGATE_PORT": "99999"}, "SPENDGATE_PORT must be 0 to 65535"),
        ({"SPENDGATE_AUTHORIZE_KEPT_S": "-1"}, "SPENDGATE_AUTHORIZE_KEPT_S must be 1"),
        ({"SPENDGATE_DECISION_DEADLINE_MS": "0"}, "must be 5 to"),
        ({"SPENDGATE_PORT": "8o80"}, "must be a number, not '8o80'"),
        ({"SPENDGATE_PORT": ""}, "must be a number, not ''"),
        ({"SPENDGATE_WORKER": "2"}, "did you mean SPENDGATE_WORKERS?"),
        ({"SPENDGATE_DURABILTY": "fsync"}, "did you mean SPENDGATE_DURABILITY?"),
        ({"SPENDGATE_DURABILITY": "none"}, "must be one of memory, fsync, replica, ledger"),
        ({"SPENDGATE_ADMIN_KEY": "secret\n"}, "has a space, a line end"),
        ({"SPENDGATE_ADMIN_KEY": "a b"}, "has a space, a line end"),
        ({"SPENDGATE_ADMIN_KEY": "short", "SPENDGATE_HOST": "0.0.0.0"}, "fewer than 16"),
        ({"SPENDGATE_KEEP_RECORDS_DAYS": "1"}, "must be 0 or at least 2"),
        ({"SPENDGATE_DATA_DIR": "a\x00b"}, "has a NUL character"),
    ],
)
def test_a_wrong_setting_is_a_sentence_that_names_it(
    environment: dict[str, str], said: str
) -> None:
    with pytest.raises(OperatorError) as caught:
        from_environment(environment)
    assert said in str(caught.value)


def test_what_clients_read_and_other_variables_are_nobodys_mistake() -> None:
    environment = {"SPENDGATE_URL": "x", "SPENDGATE_KEY": "y", "PATH": "/bin", "SPENDGATE": "1"}
    assert from_environment(environment) == Settings()


def test_settings_travel_to_children_whole() -> None:
    settings = Settings(admin_key="k" * 20, store_url="redis://:pass@h", workers=3)
    assert decode(settings.encode()) == settings


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:p@h:1/0", "redis://***@h:1/0"),
        ("redis://:p/a@s@h", "redis://***@h"),
        ("postgresql://h/d?user=u&password=p", "postgresql://h/d?user=u&password=***"),
        ("sqlite:////var/x.db", "sqlite:////var/x.db"),
        ("unix:///run/s.sock", "unix:///run/s.sock"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert redacted(url) == shown
