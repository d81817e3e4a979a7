"""Durations, sizes and moments as people write them in options."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from distribute.client.words import printable
from distribute.config.sections.moments import UnclearMoment, parse_moment
from distribute.config.sections.units import format_duration, parse_duration, parse_size
from distribute.core.errors import InputError
from distribute.core.ids import check_author, check_label
from distribute.core.log.event_base import MAX_TEXT
from distribute.core.spec.specs import MAX_TIMEOUT_S
from distribute.core.words import quoted


def duration_s(option: str, text: str, *, longest_s: float = MAX_TIMEOUT_S // 86400 * 86400) -> float:
    """The seconds in `90s`, `45m` or `1h30m`; a plain number is seconds.

    Raises:
        InputError: it is none of these, or no time, or longer than a setting, or this option, may be.
    """
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise InputError(f"{option}: {error}") from error
    if not 0 < found <= longest_s:
        longest = format_duration(longest_s)
        raise InputError(f"{option}: {text} is out of range; write more than 0s and no more than {longest}")
    return found


def checked_name(option: str, text: str) -> str:
    """The name of a node.

    Raises:
        InputError: nothing can be called so.
    """
    try:
        return check_author(text)
    except ValueError as error:
        raise InputError(f"{option}: {error}") from error


def checked_text(option: str, text: str) -> str:
    """A text of the user's choice that goes into the log.

    Raises:
        InputError: it is too long, or not valid Unicode.
    """
    if len(text) > MAX_TEXT:
        raise InputError(f"{option}: {len(text)} characters are too many; write {MAX_TEXT} at most")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{option}: {text[:60]!r} is not valid Unicode") from None
    return text


def capabilities(texts: list[str]) -> tuple[str, ...]:
    """The capabilities that `--capability` gives.

    Raises:
        InputError: one of them can't be a capability.
    """
    for text in texts:
        try:
            check_label(text)
            text.encode()
        except ValueError as error:
            raise InputError(f"--capability: {error}") from error
        if not text:
            raise InputError("--capability: a capability can't be empty; write a word, such as matlab")
    return tuple(texts)


def size_bytes(option: str, text: str) -> int:
    """The bytes in `16G` or `512M`; a plain number is bytes.

    Raises:
        InputError: it is none of these.
    """
    try:
        return parse_size(text)
    except ValueError as error:
        raise InputError(f"{option}: {error}") from error


def past_moment(option: str, text: str, now: datetime, *, or_else: str = "") -> datetime:
    """A moment before `now`: a date and time, as `moment` takes it, or how long ago: `2h`.

    `or_else`: what else the option takes, for the error.

    Raises:
        InputError: it is neither, or is yet to come.
    """
    try:
        found = now - timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError):
        try:
            found = parse_moment(text, now)
        except UnclearMoment as error:
            raise InputError(f"{option}: {error}") from None
        except ValueError:
            raise InputError(
                f"{option}: {quoted(text)} is not a time; write a date and time, such as 2026-01-31T18:00 "
                f"(local, unless it names a zone), or how long ago: 2h, 3d{or_else}"
            ) from None
    if found > now:
        raise InputError(f"{option}: {quoted(text)} is yet to come")
    return found.astimezone(UTC)


def whole_number(option: str, text: str | None, least: int, most: int, *, otherwise: str = "") -> int | None:
    """The number in `text`; None if the option was not given. `otherwise`: what else the option takes.

    Raises:
        InputError: it is no whole number, or none from `least` to `most`.
    """
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most:
        return int(text)
    shown = printable(text)
    raise InputError(f"{option} takes a whole number from {least} to {most}{otherwise}, not {shown!r}")


def moment(option: str, text: str, now: datetime) -> datetime:
    """A moment after `now`: a date and time, such as `2030-01-31T18:00` (local, unless it says), or `2h`.

    Raises:
        InputError: it is neither, or lies in the past.
    """
    try:
        found = parse_moment(text, now)
    except ValueError as error:
        raise InputError(f"{option}: {error}") from None
    if found <= now:
        raise InputError(f"{option}: {text!r} is in the past")
    return found
