"""What each key of `notify.yaml` means. See `key_docs`."""

from __future__ import annotations

from collections.abc import Mapping

from distribute.config.described.key_doc import KeyDoc
from distribute.config.sections.section import Section
from distribute.config.settings.notify_settings import (
    CommandChannel,
    MailChannel,
    NotifySettings,
    WebhookChannel,
)

D = KeyDoc

NOTIFY_DOCS: Mapping[type[Section], Mapping[str, KeyDoc]] = {
    NotifySettings: {
        "matrix": D("The file with the account for messages to Matrix, as for `server --matrix-config`"),
        "command": D("A program that gets each message as JSON on its standard input"),
        "webhook": D("A web service that gets each message by POST"),
        "mail": D("A server for mail (SMTP)"),
    },
    CommandChannel: {
        "run": D("The program and its arguments. No shell runs it"),
        "timeout": D("How long a message may take it. Then it is ended, and the message tried again", "1m"),
    },
    WebhookChannel: {
        "url": D("Where messages go", "only the people of `people` are told"),
        "form": D(
            "What the service understands: `slack` and `mattermost` (incoming webhooks), `ntfy` (a topic of "
            "ntfy.sh or of a server of your own), or `json`: the whole message, for a program of yours"
        ),
        "people": D("Addresses of people whose messages go elsewhere than to `url`"),
        "headers": D("Headers of each request, such as one with a token"),
    },
    MailChannel: {
        "server": D("The name or address of the mail server"),
        "port": D("Its port", "587; with `security: tls` 465, with `none` 25"),
        "security": D("How the connection is protected: `starttls`, `tls` from the start, or `none`"),
        "user": D("The login for the mail server", "no login"),
        "password": D("Its password"),
        "from": D("The address from which messages come"),
        "domain": D("Who has no entry in `people` gets mail at LOGIN@ this domain"),
        "people": D("The addresses of people by their logins"),
    },
}
