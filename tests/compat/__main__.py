"""Write the samples that are missing, and the table of transitions in the docs: `python -m tests.compat`."""

from pathlib import Path

from distribute.codec import encode

from .documents import write_transitions
from .samples import SAMPLES

DATA = Path(__file__).parent / "data"


def main() -> None:
    """Store each sample under its version, unless it is there."""
    for name, event in SAMPLES.items():
        path = DATA / f"v{event.v}" / f"{name}.json"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(event))
        print(f"wrote {path.relative_to(DATA)}")
    write_transitions()


if __name__ == "__main__":
    main()
