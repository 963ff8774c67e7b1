"""The servers that are measured. To add one: a line in STACKS, and in bench/Makefile how its program is built."""

from dataclasses import dataclass

OPENSSL = "OpenSSL"  # the system's
OTHER = "other"  # another crypto library, or a newer OpenSSL
NONE = "none"


@dataclass(frozen=True)
class Stack:
    name: str
    title: str
    program: str  # "make bin-PROGRAM" builds it; it is called with port, certificate and key
    crypto: str = OPENSSL
    front: str | None = None  # the TLS server that stands before the program; see fronts.py

    @property
    def is_ours(self) -> bool:
        return self.program.startswith("tlsloop-")


def tlsloop(build: str) -> Stack:
    """tlsloop with the system's OpenSSL, or with what a feature of the library builds in."""
    if build == "system":
        return Stack("tlsloop", "tlsloop", "tlsloop-system")
    return Stack(f"tlsloop-{build}", f"tlsloop, {build}", f"tlsloop-{build}", OTHER)


STACKS = [
    Stack("epoll", "epoll by hand", "epoll_level"),
    Stack("epoll-edge", "epoll by hand, edge-triggered", "epoll_edge"),
    Stack("libevent", "libevent", "libevent"),
    Stack("libuv", "libuv, memory BIOs", "libuv"),
    Stack("asio", "Boost.Asio", "asio"),
    Stack("tokio-openssl", "tokio-openssl", "tokio_openssl"),
    Stack("tokio-rustls", "tokio-rustls (aws-lc)", "tokio_rustls", OTHER),
    Stack("haproxy", "HAProxy before plain TCP", "epoll_plain", OPENSSL, "haproxy"),
    Stack("stunnel", "stunnel before plain TCP", "epoll_plain", OPENSSL, "stunnel"),
    Stack("plain", "plain TCP, no TLS", "epoll_plain", NONE),
]


def choose(builds: list[str], only: list[str]) -> list[Stack]:
    """The stacks of a run, tlsloop's builds first. An empty "only" means all."""
    stacks = [tlsloop(build) for build in builds] + STACKS
    unknown = set(only) - {stack.name for stack in stacks}
    if unknown:
        known = " ".join(stack.name for stack in stacks)
        raise SystemExit(f"no such stack: {' '.join(sorted(unknown))} (there are: {known})")
    return [stack for stack in stacks if not only or stack.name in only]
