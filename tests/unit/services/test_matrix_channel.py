"""The pure parts of the channel `matrix`: the rest is tested with a real homeserver."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distribute.config.settings.matrix_account import MatrixAccount
from distribute.core.errors import InputError
from distribute_services.notifier.channel import Message
from distribute_services.notifier.channels.matrix.content import MAX_JSON, content_of
from distribute_services.notifier.channels.matrix.device import DeviceFile


def _account(url: str = "https://example.org", user: str = "@lab:example.org") -> MatrixAccount:
    return MatrixAccount(matrix_username="lab", matrix_password="secret", homeserver_url=url, matrix_id=user)


def _message(plain: str, html: str) -> Message:
    return Message("k", "@jane:example.org", "subject", plain, html, {})


def test_a_message_is_a_text_in_two_forms() -> None:
    assert content_of(_message("a", "<p>a</p>")) == {
        "msgtype": "m.text",
        "body": "a",
        "format": "org.matrix.custom.html",
        "formatted_body": "<p>a</p>",
    }


def test_a_large_message_loses_its_form_first() -> None:
    plain = "a" * (MAX_JSON - 40)
    assert content_of(_message(plain, "<p>a</p>")) == {"msgtype": "m.text", "body": plain}


@pytest.mark.parametrize("text", ["a", "é", "😀", "\\"])
def test_a_larger_message_is_cut_between_characters(text: str) -> None:
    """What counts is the JSON, which encryption makes a third longer: an event may have 65,536 bytes."""
    content = content_of(_message(text * MAX_JSON, ""))
    assert content["body"].strip(text) == "\n…"
    assert MAX_JSON * 0.9 < len(json.dumps(content)) <= MAX_JSON < 65_536 * 3 / 4


def test_the_device_of_an_account_stays_the_same(tmp_path: Path) -> None:
    device = DeviceFile(tmp_path / "new").load(_account())
    device.access_token = "token"
    device.invited_again.add("@jane:example.org")
    DeviceFile(tmp_path / "new").save(device)
    assert DeviceFile(tmp_path / "new").load(_account("https://example.org/")) == device


@pytest.mark.parametrize("other", [_account("https://other.org"), _account(user="@other:example.org")])
def test_another_account_gets_another_device(tmp_path: Path, other: MatrixAccount) -> None:
    first = DeviceFile(tmp_path).load(_account())
    second = DeviceFile(tmp_path).load(other)
    assert first.id != second.id
    assert second.access_token is None


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"id": 1, "invited_again": []})])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, content: str) -> None:
    (tmp_path / "device.json").write_text(content)
    with pytest.raises(InputError, match=r"device\.json is damaged .*remove it"):
        DeviceFile(tmp_path).load(_account())


def test_a_folder_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/matrix/device\.json can't be used: "):
        DeviceFile(tmp_path / "file" / "matrix").load(_account())
