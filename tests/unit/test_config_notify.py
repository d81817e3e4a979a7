"""Reading `notify.yaml`: what is wrong is said with its line, and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from distribute.config.settings.folders import notify_file
from distribute.config.settings.notify_settings import load_notify_settings
from distribute.core.errors import InputError

MAIL = "mail: {server: smtp.example.org, from: distribute@example.org, "


def loads(folder: Path, text: str) -> str:
    """What is wrong with this file."""
    (folder / "notify.yaml").write_text(text)
    with pytest.raises(InputError) as raised:
        load_notify_settings(folder / "notify.yaml")
    return str(raised.value)


def test_all_channels_are_read(tmp_path: Path) -> None:
    file = tmp_path / "notify.yaml"
    file.write_text(
        "matrix: matrix.yaml\n"
        "command: {run: [tell, --json], timeout: 30s}\n"
        "webhook: {url: https://ntfy.sh/x, form: ntfy, people: {jane: https://ntfy.sh/y}}\n"
        f"{MAIL}domain: example.org, people: {{jane: jane.doe@example.org}}}}\n"
    )
    settings = load_notify_settings(file)
    assert settings.matrix == tmp_path / "matrix.yaml"
    assert settings.command is not None
    assert (settings.command.run, settings.command.timeout_s) == (("tell", "--json"), 30.0)
    assert settings.webhook is not None
    assert settings.webhook.people == {"jane": "https://ntfy.sh/y"}
    assert settings.mail is not None
    assert (settings.mail.sender, settings.mail.security) == ("distribute@example.org", "starttls")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{}\n", "it configures no channel; write one of matrix, command, webhook and mail"),
        ("command: {run: []}\n", "notify.yaml:1"),
        ("webhook: {form: slack}\n", "a webhook needs 'url', or 'people' with a URL for each"),
        ("webhook:\n  url: https://x\n  form: slak\n", "notify.yaml:3:9"),
        ("webhook: {url: hooks.example.org/T0/hidden}\n", "write https://HOST/PATH"),
        ("webhook: {url: 'https://x:99999/hidden'}\n", "write https://HOST/PATH"),
        ("webhook: {url: 'https://[::1/hidden'}\n", "write https://HOST/PATH"),
        ("webhook: {url: 'https://hooks..org/hidden'}\n", "write https://HOST/PATH"),
        (f"webhook: {{url: 'https://{'x' * 64}.org/hidden'}}\n", "write https://HOST/PATH"),
        (MAIL.replace("smtp.", "smtp..") + "domain: x.org}\n", "'smtp..example.org' can't be the name of a"),
        ("webhook: {url: https://x, headers: {A b: hidden}}\n", "'A b' can't name a header"),
        ("webhook:\n  url: https://x\n  headers:\n    A: |\n      hidden\n", "a header has one line"),
        (MAIL + "}\n", "mail needs 'domain', or 'people' with an address for each"),
        (
            MAIL + "domain: x.org, people: {jane: jane}}\n",
            "'jane' is no mail address; write jane@example.org",
        ),
        (MAIL + "domain: x.org, password: hidden}\n", "'user' and 'password' belong together"),
        (MAIL + "domain: x.org, user: lab, password: [hidden]}\n", "password takes a text"),
    ],
)
def test_what_is_wrong_is_said_and_no_secret_with_it(tmp_path: Path, text: str, told: str) -> None:
    said = loads(tmp_path, text)
    assert told in said
    assert "notify.yaml" in said
    assert "hidden" not in said


def test_the_program_has_to_be_there_where_it_would_run(tmp_path: Path) -> None:
    file = tmp_path / "notify.yaml"
    file.write_text(f"command:\n  run: [{tmp_path / 'tell'}]\n")
    assert load_notify_settings(file).command is not None
    with pytest.raises(InputError) as caught:
        load_notify_settings(file, runs_here=True)
    assert f"{file}:2:9: '{tmp_path / 'tell'}' is no program that this user can run; write" in str(
        caught.value
    )
    (tmp_path / "tell").touch(mode=0o755)
    assert load_notify_settings(file, runs_here=True).command is not None


def test_without_a_file_nobody_is_told(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    assert notify_file(environ) is None
    with pytest.raises(InputError, match=r"docs/notifications\.md"):
        load_notify_settings(None, environ)
