"""The proofs by name. Each is a function of its ground; what it finds wrong goes into `ground.failures`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

NEWEST, OLD = "newest", "v0.36"
BOTH = (NEWEST, OLD)


@dataclass(frozen=True)
class Proof:
    """`clients`: the environments it is run with."""

    name: str
    about: str
    clients: tuple[str, ...]
    run: Callable[[Any], None]


PROOFS: dict[str, Proof] = {}


def proof(*clients: str, name: str | None = None, about: str | None = None) -> Callable[[Any], Any]:
    """Registers a function under its name."""

    def register(function: Callable[[Any], None]) -> Callable[[Any], None]:
        label = name or function.__name__.replace("_", "-")
        text = about or (function.__doc__ or "").strip().splitlines()[0]
        PROOFS[label] = Proof(label, text, clients or (NEWEST,), function)
        return function

    return register
