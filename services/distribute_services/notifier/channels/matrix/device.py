"""What the channel keeps on disk: the device under which the account is logged in."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from distribute.config.settings.matrix_account import MatrixAccount
from distribute.core.errors import InputError
from distribute.core.os_words import why
from distribute.runtime import new_id

_NAME = "device.json"


@dataclass
class Device:
    """A login of the account.

    A homeserver discards the repetition of a message if it comes from the same device, so `id` is chosen
    before the first login and never changes. `invited_again` are the people who left their room with us, or
    declined the invitation, and were invited a second time.
    """

    homeserver_url: str
    user_id: str
    id: str
    access_token: str | None = None
    invited_again: set[str] = field(default_factory=set)


class DeviceFile:
    """The file that holds a `Device`, readable by its owner alone: whoever has the token is the account."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME

    def load(self, account: MatrixAccount) -> Device:
        """The device of this account. A new one is saved at once, before anybody logs in under it.

        Raises:
            InputError: the file is damaged, or can't be used.
        """
        url, user = account.homeserver_url.rstrip("/"), account.matrix_id
        try:
            kept = json.loads(self._path.read_bytes())
            device = Device(**{**kept, "invited_again": set(kept["invited_again"])})
        except FileNotFoundError:
            device = None
        except OSError as error:
            raise self._unusable(error) from error
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{self._path} is damaged ({error}): remove it; the next start logs in again"
            ) from error
        if device is None or (device.homeserver_url, device.user_id) != (url, user):
            device = Device(url, user, f"DISTRIBUTE{new_id()[-10:]}")
            self.save(device)
        return device

    def save(self, device: Device) -> None:
        """Replace the file. After a crash it is the old one or the new one.

        Raises:
            InputError: it can't be written.
        """
        try:
            self._replace(device)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> InputError:
        return InputError(f"{self._path} can't be used: {why(error)}")

    def _replace(self, device: Device) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.parent.chmod(0o700)  # keys of encrypted rooms lie beside it
        part = self._path.with_suffix(".new")
        part.unlink(missing_ok=True)
        content = json.dumps({**asdict(device), "invited_again": sorted(device.invited_again)}).encode()
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)
