"""Which batches a batch is to run after, as its file says it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from distribute.config.sections.forms import Form
from distribute.config.sections.section import NonEmpty, Section, at_most
from distribute.core.ids import check_name
from distribute.core.spec.specs import MAX_AFTER, When
from distribute.core.words import quoted

LAST = "last"


def _check(text: str) -> str:
    parts = text.split("/")
    if len(parts) > 2:
        raise ValueError(f"{quoted(text)} names no batch; write BATCH, NAMESPACE/BATCH or last")
    for part in parts:
        check_name(part)
    return text


BatchRef = Annotated[NonEmpty, AfterValidator(_check), Form("a batch")]


class AfterRef(Section):
    """A batch to wait for, and how it has to end. A bare text is its name."""

    takes: ClassVar[str] = "a batch, or {batch: BATCH, when: any}"
    text_key: ClassVar[str] = "batch"

    batch: BatchRef = Field(examples=["mesh"])
    when: When = Field(default="succeeded", examples=["any"])

    @property
    def is_last(self) -> bool:
        """Is the batch meant that the person submitted last?"""
        return self.batch == LAST

    @property
    def parts(self) -> tuple[str, str]:
        """The namespace, empty if it is that of the batch itself, and the name."""
        namespace, _, name = self.batch.rpartition("/")
        return namespace, name


Afters = Annotated[tuple[AfterRef, ...], at_most(MAX_AFTER, "batches")]


def check_afters(afters: tuple[AfterRef, ...], namespace: str, batch: str) -> None:
    """Raises `ValueError` if a batch is to run after itself, or twice after the same one."""
    seen = set()
    for after in afters:
        owner, name = after.parts
        place = (owner or namespace, name)
        if not after.is_last and place == (namespace, batch):
            raise ValueError(f"a batch can't wait for itself; {quoted(after.batch)} is this one")
        if place in seen:  # else it would not be clear how that one has to end
            raise ValueError(f"{quoted(after.batch)} is there twice; write it once")
        seen.add(place)
