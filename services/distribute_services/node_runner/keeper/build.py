"""A digest of the keeper's code."""

from __future__ import annotations

import hashlib
from pathlib import Path


def build_of_this_code() -> str:
    """Identifies the code of this package: another version of it has another one."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
