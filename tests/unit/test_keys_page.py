"""docs/keys.md has every key, as the code has it."""

from __future__ import annotations

import re

from distribute.config.described.key_docs import KEY_DOCS
from distribute.config.sections.jobs_file import Meta
from distribute.config.sections.units import format_duration, format_size
from distribute.config.settings.settings import NodeSettings, ServerSettings
from distribute.core.scheduling.liveness import Lease
from distribute.core.spec.named_inputs import DEFAULT_INPUTS_KEEP_S
from distribute_services.node_runner.disk.room import KEEP_FREE_BYTES
from keys_page import FILES, PAGE, page


def test_the_page_is_that_of_the_code() -> None:
    assert PAGE.read_text() == page(), "python -m tests.keys_page writes it"


def test_every_section_is_on_the_page() -> None:
    assert {section for sections in FILES.values() for section in sections} == {
        section.__name__ for section in KEY_DOCS
    }


def test_links_within_the_page_lead_to_a_heading() -> None:
    headings = re.findall(r"^#+ (.*)$", page(), re.MULTILINE)
    anchors = {re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for heading in headings}
    assert set(re.findall(r"\(#([^)]*)\)", page())) <= anchors


def test_defaults_that_are_words_are_those_of_the_code() -> None:
    lease = Lease()
    assert {key: doc.default for key, doc in KEY_DOCS[ServerSettings].items()} == {
        "out_of_touch": format_duration(lease.out_of_touch_s),
        "lost_after": format_duration(lease.lost_after_s),
        "patience_growth": f"{lease.patience_growth:g}",
        "longest_patience": format_duration(lease.longest_patience_s),
        "inputs_keep": format_duration(DEFAULT_INPUTS_KEEP_S),
    }
    assert KEY_DOCS[NodeSettings]["keep_free"].default.startswith(f"{format_size(KEEP_FREE_BYTES)},")
    assert KEY_DOCS[Meta]["grace"].default == f"the node's, {format_duration(NodeSettings().grace_s)}"
