"""The notifier's channels: `notify.yaml`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from shutil import which
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from distribute.config.sections.forms import Form
from distribute.config.sections.problems import valid
from distribute.config.sections.section import AuthorName, Duration, NonEmpty, Section, Text, at_most
from distribute.config.settings.folders import config_dir
from distribute.config.settings.hosts import can_be_host, is_web_address
from distribute.config.settings.matrix_account import Password
from distribute.config.yaml.yaml_source import Document
from distribute.config.yaml.yaml_syntax import Found, Problem
from distribute.core.errors import InputError
from distribute.core.spec.specs import MAX_ARGUMENTS
from distribute.core.words import LONGEST_QUOTED_PATH, quoted

MAX_PEOPLE = 10_000
MAX_HEADERS = 100


def _check_url(url: str) -> str:
    if not is_web_address(url):
        raise ValueError("that is no address of a web service; write https://HOST/PATH")
    return url


def _check_server(name: str) -> str:
    if not can_be_host(name):
        raise ValueError(f"{quoted(name)} can't be the name of a computer; write smtp.example.org")
    return name


def _check_address(address: str) -> str:
    user, at, host = address.rpartition("@")
    if not (user and at and host) or not address.isprintable() or any(c in address for c in ' <>,;"'):
        raise ValueError(f"{quoted(address)} is no mail address; write jane@example.org")
    return address


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _check_header_name(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"{quoted(name)} can't name a header; write a name such as Authorization")
    return name


def _check_header(value: str) -> str:
    if not value.isprintable():
        raise ValueError("a header has one line of printable characters; write 'Bearer x'")
    return value


Url = Annotated[
    NonEmpty,
    AfterValidator(_check_url),
    Form("a URL", pattern=r"https?://[^\s/]+.*", advice="write https://HOST/PATH"),
]
"""The address of a web service. It may be a secret, so no message quotes it."""
MailAddress = Annotated[
    NonEmpty, AfterValidator(_check_address), Form("a mail address", advice="write jane@example.org")
]


HeaderName = Annotated[str, AfterValidator(_check_header_name)]
HeaderValue = Annotated[Text, AfterValidator(_check_header)]
"""It may be a secret, so no message quotes it."""


class CommandChannel(Section):
    """A program that gets each message as JSON. `timeout_s`: so many seconds it may take."""

    run: tuple[Text, ...] = Field(min_length=1, max_length=MAX_ARGUMENTS, examples=["[/opt/lab/tell]"])
    timeout_s: Duration = Field(default=60.0, alias="timeout", examples=["30s"])


class WebhookChannel(Section):
    """A web service that gets each message by POST, in the form that it understands.

    `people`: other addresses for some people. `headers` go with each request.
    """

    url: Url | None = Field(default=None, examples=["https://hooks.slack.com/services/T0/B0/x"])
    form: Literal["slack", "mattermost", "ntfy", "json"] = Field(default="json", examples=["slack"])
    people: Annotated[dict[AuthorName, Url], at_most(MAX_PEOPLE, "people")] = Field(
        default_factory=dict, examples=["{jane: https://ntfy.sh/jane-x7}"]
    )
    headers: Annotated[dict[HeaderName, HeaderValue], at_most(MAX_HEADERS, "headers")] = Field(
        default_factory=dict, examples=["{Authorization: Bearer x}"]
    )

    @model_validator(mode="after")
    def _reaches_somebody(self) -> WebhookChannel:
        if self.url is None and not self.people:
            raise ValueError("a webhook needs 'url', or 'people' with a URL for each")
        return self


class MailChannel(Section):
    """A server for mail (SMTP). A person without an entry in `people` is NAME@`domain`."""

    server: Annotated[NonEmpty, AfterValidator(_check_server)] = Field(examples=["smtp.example.org"])
    port: int | None = Field(default=None, ge=1, le=65535, examples=["587"])
    security: Literal["starttls", "tls", "none"] = Field(default="starttls", examples=["starttls"])
    user: NonEmpty | None = Field(default=None, examples=["lab-notify"])
    password: Password | None = Field(default=None, examples=['"..."'])
    sender: MailAddress = Field(alias="from", examples=["distribute@example.org"])
    domain: NonEmpty | None = Field(default=None, examples=["example.org"])
    people: Annotated[dict[AuthorName, MailAddress], at_most(MAX_PEOPLE, "people")] = Field(
        default_factory=dict, examples=["{jane: jane.doe@example.org}"]
    )

    @model_validator(mode="after")
    def _has_addresses(self) -> MailChannel:
        if self.domain is None and not self.people:
            raise ValueError("mail needs 'domain', or 'people' with an address for each")
        if (self.user is None) != (self.password is None):
            raise ValueError("'user' and 'password' belong together; write both or none")
        return self


class NotifySettings(Section):
    """`notify.yaml`: the channels by which people are told. None: not by this one.

    `matrix` is the file with the account for Matrix, relative to this one.
    """

    matrix: Path | None = Field(default=None, examples=["matrix.yaml"])
    command: CommandChannel | None = Field(default=None, examples=["{run: [/opt/lab/tell]}"])
    webhook: WebhookChannel | None = Field(
        default=None, examples=["{url: https://ntfy.sh/lab-x7, form: ntfy}"]
    )
    mail: MailChannel | None = Field(
        default=None, examples=["{server: localhost, from: distribute@example.org, domain: example.org}"]
    )


def load_notify_settings(
    path: Path | None, environ: Mapping[str, str] = os.environ, *, runs_here: bool = False
) -> NotifySettings:
    """The settings in the file at `path`. None: in that of this user.

    `runs_here`: it is this computer that will tell people.

    Raises:
        InputError: the file can't be read, or something in it is wrong, or it configures no channel, or the
            program is not there that this computer would run. No message has a password.
    """
    path = path or config_dir(environ) / "notify.yaml"
    document = Document.read(path, if_missing="write there how people are told: see docs/notifications.md")
    settings = valid(document, NotifySettings)
    if settings == NotifySettings():
        raise InputError(f"{path}: it configures no channel; write one of matrix, command, webhook and mail")
    if runs_here and settings.command is not None:
        _refuse_missing(document, settings.command.run[0])
    if settings.matrix is None:
        return settings
    return settings.model_copy(update={"matrix": path.absolute().parent / settings.matrix})


def _refuse_missing(document: Document, program: str) -> None:
    """Raise `InputError` if there is no such program."""
    if which(program) is not None:
        return
    named = quoted(program, LONGEST_QUOTED_PATH)
    advice = "write the path of one, and make it executable (`chmod +x`)"
    problem = Problem(
        document.offset(("command", "run", 0)), f"{named} is no program that this user can run; {advice}"
    )
    raise InputError(*document.lines(Found([problem])))
