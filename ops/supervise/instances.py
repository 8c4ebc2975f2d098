"""The role processes of one `observai up`: how many of each role, their slots, names and ports."""

from collections.abc import Iterator
from dataclasses import dataclass

from topology.settings import FIRST_SLOT, ROLE_PORTS, Settings

# Edge k > 0 listens on the base port + 20 + k, worker k > 0 on the base port + 40 + k.
FURTHER_PORTS = {"edge": 20, "worker": 40}


@dataclass(frozen=True, slots=True)
class Instance:
    """One process of a role; number 0 is the one that has the role's own name and port."""

    role: str
    number: int

    @property
    def name(self) -> str:
        """Name among the children, in run.json and in the ready line."""
        return self.role if self.number == 0 else f"{self.role}-{self.number}"

    def slot(self, base: Settings) -> str:
        """Slot of the process: its number, behind the slot of this `up` where that has one."""
        if base.slot == FIRST_SLOT:
            return str(self.number)
        return base.slot if self.number == 0 else f"{base.slot}-{self.number}"

    def port(self, base: Settings) -> int:
        """Port of its HTTP server."""
        if self.number == 0:
            return base.role_port(self.role)
        return base.port + FURTHER_PORTS[self.role] + self.number

    def url(self, base: Settings) -> str:
        """URL of its HTTP server as clients on this machine reach it."""
        return base.role_url(self.role).rpartition(":")[0] + f":{self.port(base)}"

    def settings(self, base: Settings) -> Settings:
        """Return the settings that its process is given."""
        own = {"slot": self.slot(base), "listen_port": self.port(base)}
        return base.model_copy(update=own)


def instances(settings: Settings) -> Iterator[Instance]:
    """Yield every role process of a deployment on one machine."""
    counts = {"edge": settings.edges, "worker": settings.workers}
    for role in ROLE_PORTS:
        for number in range(counts.get(role, 1)):
            yield Instance(role, number)


def urls(settings: Settings) -> dict[str, str]:
    """Return the URL of each role process by its name."""
    return {one.name: one.url(settings) for one in instances(settings)}
