"""The attacks: how many connections, what one of them may hold, and what stops it."""
from dataclasses import dataclass, field
from typing import Callable

KIB = 1024
LONG = "600000"  # milliseconds: a limit that is not the one in question


def last(name, least=1.0):
    """True when the server has counted `name` for this part of the attacker's connections."""
    return lambda samples, count: samples[-1][name] >= least * count


@dataclass
class Scenario:
    """One attack."""

    kind: str
    title: str
    count: int
    bound: int  # bytes of memory that one connection may hold
    stopped_by: str
    acts: Callable  # of the samples and the count: whether the limit has acted
    limit: Callable = lambda count: []  # the settings that limit it
    settings: list = field(default_factory=list)  # those that it always needs
    witness: tuple = ("127.0.0.2",)
    holds: bool = True

    def open(self, _count):
        """Settings under which the attack can hold what it can."""
        loose = ["handshake_timeout_ms=" + LONG, "send_timeout_ms=" + LONG, "max_handshakes=100000"]
        return loose + self.settings

    def limits(self, count):
        """The defaults, and what limits this attack."""
        return self.settings + self.limit(count)


def at_most(name, part):
    """Never more than this part of the connections, and at the end that many."""
    def acts(samples, count):
        most = int(count * part)
        return all(sample[name] <= most for sample in samples) and samples[-1][name] == most
    return acts


def served(samples, _count):
    """Built in: nothing is to be set, and the established client shows it."""
    return len(samples) > 20


SECOND = lambda member: lambda _count: [member + "=1000"]

SCENARIOS = [
    Scenario("silent-connections", "connections without a word, from one address", 1000, 8 * KIB,
             "`max_connections_per_ip`", last("refused_per_ip", 0.9),
             lambda count: [f"max_connections_per_ip={count // 10}"]),
    Scenario("slow-handshake", "a ClientHello of one byte a second", 1000, 4 * KIB,
             "`handshake_timeout_ms`", last("handshakes_failed"), SECOND("handshake_timeout_ms")),
    Scenario("silent-after-hello", "half a handshake, then silence", 1000, 128 * KIB,
             "`max_handshakes`", at_most("handshaking", 0.5), lambda count: [f"max_handshakes={count // 2}"]),
    Scenario("half-open", "a peer that is gone without a word", 1000, 48 * KIB,
             "`idle_timeout_ms`", last("idle_timeout"), SECOND("idle_timeout_ms")),
    Scenario("never-reading", "a peer that never reads", 50, 1024 * KIB + 288 * KIB,
             "`send_timeout_ms`", last("send_timeout"), SECOND("send_timeout_ms"),
             ["room=4096"]),
    Scenario("unread-key-updates", "key updates whose answers are not read", 20, 288 * KIB,
             "`send_timeout_ms`", last("send_timeout"), SECOND("send_timeout_ms"),
             ["room=4096"]),
    Scenario("slow-proxy-header", "a PROXY header that does not end", 1000, 8 * KIB,
             "`handshake_timeout_ms`", last("handshakes_failed"), SECOND("handshake_timeout_ms"),
             ["proxy_trusted=127.0.0.0/8"], ("127.0.0.2", "proxy")),
    Scenario("forged-proxy-headers", "PROXY headers from where none is believed", 1, 256 * KIB,
             "`proxy_trusted`", lambda samples, _count: samples[-1]["refused_proxy"] > 1000, lambda count: [],
             ["proxy_trusted=127.0.0.2"], ("127.0.0.2", "proxy"), False),
    Scenario("handshake-flood", "a ClientHello again and again", 1, 512 * KIB,
             "one step of a handshake a turn", served, holds=False),
    Scenario("tiny-records", "records of one byte", 20, 96 * KIB, "128 records a visit", served),
    Scenario("empty-records", "empty records", 20, 96 * KIB, "32 in a row (OpenSSL)", last("protocol")),
    Scenario("key-updates", "key updates, with a byte of data between", 20, 288 * KIB,
             "a few records without data a visit", served),
    Scenario("too-many-key-updates", "key updates alone", 20, 96 * KIB, "40 at once", last("protocol")),
    Scenario("renegotiation", "renegotiation (TLS 1.2), with a byte of data between", 20, 288 * KIB,
             "a few records without data a visit", served),
    Scenario("too-much-renegotiation", "renegotiation alone", 20, 96 * KIB, "40 at once", last("protocol")),
    Scenario("packed-renegotiation", "4,096 renegotiations in each record, with a byte of data between", 20, 96 * KIB,
             "40 at once", last("protocol")),
]
