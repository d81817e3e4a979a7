"""What a job needs of a node, and how it is warned: the sections `resources`, `gpus` and `signal_before`.

In the pattern of a sweep's jobs, their values may have placeholders.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, get_args

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from distribute.config.sections.forms import Form, in_any_case
from distribute.config.sections.placeholders import OrPlaceholders, WithPlaceholders, form_of_value
from distribute.config.sections.section import Duration, LeanSection, Section, Size, Text
from distribute.core.spec.gpu_kind import MAX_MODEL_CHARS, check_model
from distribute.core.spec.specs import Cpus, GpuCount, SignalName
from distribute.core.words import quoted


class Gpus(Section):
    """How many GPUs, and of which kind: with so much memory each, and `model` as a part of their name.

    `model` is a regular expression. Upper and lower case are the same to it.
    """

    count: GpuCount = Field(default=1, examples=["1"])
    memory_bytes: Size = Field(default=0, alias="memory", examples=["20G"])
    model: Annotated[Text, Field(max_length=MAX_MODEL_CHARS), AfterValidator(check_model)] = Field(
        default="", examples=['"RTX.*"']
    )


class GpusPattern(Section):
    """As `Gpus`, for the jobs of a sweep."""

    count: OrPlaceholders[GpuCount] = Field(default=1, examples=['"{n}"'])
    memory_bytes: OrPlaceholders[Size] = Field(default=0, alias="memory", examples=['"{gb}G"'])
    model: Text = Field(default="", examples=['"{card}"'])


def _form_of_gpus(written: object) -> str:
    return "mapping" if isinstance(written, dict | Gpus) else "number"


def _form_of_gpus_pattern(written: object) -> str:
    return "mapping" if isinstance(written, dict | GpusPattern) else form_of_value(written)


class Resources(LeanSection):
    """A job's share of a node. Sizes are binary: 8G is 8 * 1024**3 bytes."""

    cpus: Cpus = Field(default=1, examples=["4"])
    memory_bytes: Size = Field(default=0, alias="memory", examples=["8G"])
    gpus: Annotated[
        Annotated[GpuCount, Tag("number")] | Annotated[Gpus, Tag("mapping")], Discriminator(_form_of_gpus)
    ] = Field(default=0, examples=["1"])


class ResourcesPattern(Section):
    """As `Resources`, for the jobs of a sweep."""

    cpus: OrPlaceholders[Cpus] = Field(default=1, examples=['"{n}"'])
    memory_bytes: OrPlaceholders[Size] = Field(default=0, alias="memory", examples=['"{gb}G"'])
    gpus: Annotated[
        Annotated[WithPlaceholders, Tag("placeholders")]
        | Annotated[GpuCount, Tag("value")]
        | Annotated[GpusPattern, Tag("mapping")],
        Discriminator(_form_of_gpus_pattern),
    ] = Field(default=0, examples=['"{n}"'])


def _signal_name(written: object) -> object:
    """`usr1` and `SIGUSR1` are `USR1`. A number is not one: it means another signal on another computer."""
    if not isinstance(written, str):
        return written
    name = written.strip().upper().removeprefix("SIG")
    if name not in get_args(SignalName):
        possible = ", ".join(get_args(SignalName))
        raise ValueError(f"{quoted(written)} is not a signal that can warn a job; write one of {possible}")
    return name


_SIGNAL = rf"\s*{in_any_case('SIG')}?(?:{'|'.join(map(in_any_case, get_args(SignalName)))})\s*"
"""What `_signal_name` accepts, for a JSON Schema."""


Signal = Annotated[SignalName, BeforeValidator(_signal_name), Form(pattern=_SIGNAL)]


class SignalBefore(Section):
    """Warn a job by a signal, so many seconds before its timeout."""

    takes: ClassVar[str] = "{signal: USR1, seconds: 120}"

    signal: Signal = Field(examples=["USR1"])
    before_s: Duration = Field(alias="seconds", examples=["120"])


class SignalPattern(Section):
    """As `SignalBefore`, for the jobs of a sweep."""

    takes: ClassVar[str] = SignalBefore.takes

    signal: Signal = Field(examples=["USR1"])
    before_s: OrPlaceholders[Duration] = Field(alias="seconds", examples=['"{lead}"'])
