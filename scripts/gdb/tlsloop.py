"""Connections of tlsloop in gdb, in a running program and in a core file.

    (gdb) source scripts/gdb/tlsloop.py
    (gdb) tlsloop conns              every connection of the process
    (gdb) tlsloop conn 2147483649    one of them, by its number, or by an expression: tlsloop conn conn
    (gdb) print conn                 a tlsloop_conn with its parts and its peer

It reads memory only and calls nothing in the program. It needs the types of libtlsloop.so, which a stripped library has
in a package of its own (libtlsloop0-dbgsym). Without them a number is still taken apart.
"""

import gdb

# The layout of a number (src/id.rs), and of the word that counts the queued bytes (src/queue.rs).
WORKER_BITS, SLOT_BITS, GENERATION_BITS = 12, 20, 31
FULL, COUNT_SHIFT = 1, 5
MARKS = ((4, "ended"), (8, "closed"), (16, "aborted"))
CELLS = 256  # in a chunk of a lane (src/registry.rs)


class Missing(Exception):
    """What is looked for is not in this program."""


def parts(number):
    """Worker, slot and use of a tlsloop_conn."""
    slot = number >> GENERATION_BITS
    return slot >> SLOT_BITS, slot & ((1 << SLOT_BITS) - 1), number & ((1 << GENERATION_BITS) - 1)


def number_of(worker, slot, use):
    return ((worker << SLOT_BITS | slot) << GENERATION_BITS) | use


# --- Reading Rust's memory -----------------------------------------------------------------------------------------


def words(value, count=1):
    """The first machine words of a value, for pointers in wrappers that gdb does not look through."""
    memory = gdb.selected_inferior().read_memory(int(value.address), 8 * count).tobytes()
    return [int.from_bytes(memory[8 * i : 8 * i + 8], "little") for i in range(count)]


def plain(value):
    """The number inside an atomic or another wrapper of one."""
    while value.type.strip_typedefs().code == gdb.TYPE_CODE_STRUCT:
        value = value[next(field for field in value.type.fields() if field.type.sizeof > 0)]
    return int(value)


def kind(name):
    try:
        return gdb.lookup_type(name)
    except gdb.error:
        raise Missing("no types of tlsloop here: is libtlsloop0-dbgsym, or an unstripped library, installed?")


def at(address, name):
    return gdb.Value(address).cast(kind(name).pointer()).dereference()


def lanes():
    """The lane of each worker that the process has had, by its number."""
    symbol = gdb.lookup_static_symbol("tlsloop::registry::LANES") or gdb.lookup_global_symbol("tlsloop::registry::LANES")
    if symbol is None:
        raise Missing("tlsloop is not in this program, or it is stripped")
    array = symbol.value()
    # Lanes are made in order, so the first one shows how a OnceLock looks that is filled.
    filled = plain(array[0]["once"])
    for worker in range(array.type.range()[1] + 1):
        lane = array[worker]
        address = words(lane["value"])[0]
        if address == 0 or plain(lane["once"]) != filled:
            return
        yield worker, at(address, "tlsloop::registry::Lane"), filled


def cells(lane, filled):
    """Each cell in use, with its slot."""
    cell_type = kind("tlsloop::cell::Cell")
    chunks, count = words(lane["chunks"], 2)
    once = kind("std::sync::once_lock::OnceLock<alloc::boxed::Box<[tlsloop::cell::Cell], alloc::alloc::Global>>")
    chunk = gdb.Value(chunks).cast(once.pointer())
    for n in range(count):
        if plain(chunk[n]["once"]) != filled:
            return  # slots are given out from the lowest
        first = gdb.Value(words(chunk[n]["value"])[0]).cast(cell_type.pointer())
        for i in range(CELLS):
            if plain(first[i]["generation"]) != 0:
                yield n * CELLS + i, first[i]


def variant(value, names):
    """Which of the variants of an enum it is, and what it holds."""
    for name in names:
        try:
            return name, value[name]["__0"]
        except gdb.error:
            pass  # gdb has no member for a variant that it is not
    raise Missing("an enum that is none of %s" % ", ".join(names))


def address_text(value):
    """An Address as the log writes it, but for the shortest form of IPv6."""
    name, inner = variant(value, ("Inet", "Unix"))
    if name == "Unix":
        path, length = words(inner, 2)
        return "unix:" + gdb.selected_inferior().read_memory(path, length).tobytes().decode(errors="replace")
    name, inner = variant(inner, ("V4", "V6"))
    octets = [int(inner["ip"]["octets"][i]) for i in range(4 if name == "V4" else 16)]
    if name == "V4":
        return "%s:%d" % (".".join(map(str, octets)), int(inner["port"]))
    groups = ["%x" % (octets[i] << 8 | octets[i + 1]) for i in range(0, 16, 2)]
    return "[%s]:%d" % (":".join(groups), int(inner["port"]))


def c_text(reference):
    address, length = words(reference, 2)
    return gdb.selected_inferior().read_memory(address, length - 1).tobytes().decode(errors="replace")


# --- A connection --------------------------------------------------------------------------------------------------


class Conn:
    """What its cell tells of one connection."""

    def __init__(self, worker, slot, cell):
        gauge = plain(cell["gauge"])
        self.number = number_of(worker, slot, plain(cell["generation"]))
        self.fd = plain(cell["fd"])
        self.data = plain(cell["data"])
        self.bytes_in, self.bytes_out = plain(cell["bytes_in"]), plain(cell["bytes_out"])
        self.queued = gauge >> COUNT_SHIFT
        state = [name for bit, name in MARKS if gauge & bit][-1:] or ["open"]
        self.state = ", ".join(state + (["full"] if gauge & FULL else []))
        self.peer, self.balancer, self.tls = "?", "", "none"
        self.read_facts(cell["state"]["data"]["value"])

    def read_facts(self, state):
        address = words(state["facts"])[0]
        if address == 0:
            return
        facts = at(address, "alloc::sync::ArcInner<tlsloop::info::Facts>")["data"]
        self.peer = address_text(facts["peer"])
        balancer = words(facts["balancer"])[0]
        if balancer != 0:
            self.balancer = address_text(at(balancer, "tlsloop::address::Address"))
        tls = words(facts["tls"])[0]
        if tls != 0:
            tls = at(tls, "alloc::sync::ArcInner<tlsloop::info::TlsFacts>")["data"]
            self.tls = "%s %s" % (c_text(tls["version"]), c_text(tls["cipher"]))


def conns():
    for worker, lane, filled in lanes():
        for slot, cell in cells(lane, filled):
            yield Conn(worker, slot, cell)


def find(number):
    """The connection of that number; None if it has ended, or never was."""
    worker, slot, use = parts(number)
    for lane_worker, lane, filled in lanes():
        if lane_worker != worker:
            continue
        for found, cell in cells(lane, filled):
            if found == slot and plain(cell["generation"]) == use:
                return Conn(worker, slot, cell)
    return None


# --- Commands ------------------------------------------------------------------------------------------------------


class Tlsloop(gdb.Command):
    """Commands for connections of tlsloop."""

    def __init__(self):
        super().__init__("tlsloop", gdb.COMMAND_DATA, prefix=True)


class Conns(gdb.Command):
    """Lists the connections of the process: number, worker, descriptor, peer, queued and received and sent bytes, TLS,
and how far this side has ended it."""

    def __init__(self):
        super().__init__("tlsloop conns", gdb.COMMAND_DATA)

    def invoke(self, _argument, _from_tty):
        form = "%20s %6s %5s %-24s %9s %11s %11s %-8s %s"
        print(form % ("conn", "worker", "fd", "peer", "queued", "in", "out", "tls", "state"))
        count = 0
        try:
            for c in conns():
                count += 1
                tls = c.tls.split(" ")[0]
                worker = parts(c.number)[0]
                print(form % (c.number, worker, c.fd, c.peer, c.queued, c.bytes_in, c.bytes_out, tls, c.state))
        except Missing as missing:
            raise gdb.GdbError(str(missing))
        print("%d connections" % count)


class OneConn(gdb.Command):
    """Tells what is known of one connection: tlsloop conn NUMBER, or an expression."""

    def __init__(self):
        super().__init__("tlsloop conn", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, _from_tty):
        if not argument:
            raise gdb.GdbError("use: tlsloop conn NUMBER")
        number = int(gdb.parse_and_eval(argument))
        print("conn      %d: worker %d, slot %d, use %d" % ((number,) + parts(number)))
        try:
            c = find(number)
        except Missing as missing:
            raise gdb.GdbError(str(missing))
        if c is None:
            print("state     has ended, or never was: calls with it answer TLSLOOP_ECLOSED")
            return
        print("state     %s" % c.state)
        print("peer      %s%s" % (c.peer, " behind " + c.balancer if c.balancer else ""))
        print("tls       %s" % c.tls)
        print("fd        %d" % c.fd)
        print("queued    %d bytes" % c.queued)
        print("received  %d bytes" % c.bytes_in)
        print("sent      %d bytes" % c.bytes_out)
        print("data      %#x" % c.data)


# --- The printer ---------------------------------------------------------------------------------------------------


class ConnPrinter:
    """A tlsloop_conn, which is a number."""

    def __init__(self, value):
        self.number = int(value.cast(gdb.lookup_type("unsigned long")))

    def to_string(self):
        if self.number == 0:
            return "0 (no connection)"
        told = "%d (worker %d, slot %d, use %d" % ((self.number,) + parts(self.number))
        try:
            c = find(self.number)
        except (Missing, gdb.error):
            return told + ")"
        return "%s: %s)" % (told, "ended" if c is None else c.peer + ", " + c.state)


def printer_for(value):
    return ConnPrinter(value) if value.type.unqualified().name == "tlsloop_conn" else None


Tlsloop()
Conns()
OneConn()
gdb.pretty_printers.append(printer_for)
