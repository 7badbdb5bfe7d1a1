"""What the sections of INFO are made from: one snapshot of the server's numbers."""

import time
from dataclasses import dataclass
from typing import Any

from ferrite_py.commands.tiers import Tiers
from ferrite_py.config import Config
from ferrite_py.services import Services

Fields = list[tuple[str, object]]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the sections are made from, taken once for a whole reply."""

    services: Services
    statistics: dict[str, Any]
    tiers: Tiers
    now: float
    """Seconds of the monotonic clock."""

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.services.settings.config

    def number(self, name: str) -> int:
        """One of the native server's statistics."""
        value: int = self.statistics[name]
        return value


def facts_of(services: Services) -> Facts:
    """Take a snapshot of the server's statistics."""
    native = services.native
    return Facts(services, native.statistics(), native.tiers(), time.monotonic())


def present(facts: Facts, names: dict[str, str]) -> Fields:
    """The fields of which the native server has the statistic."""
    found = facts.statistics
    return [(field, found[name]) for field, name in names.items() if name in found]
