#!/usr/bin/env python3
"""A TLS echo server in Python: whatever arrives goes back to the peer that sent it. Nothing to compile.

    echo_server.py [PORT [CERT KEY]]      without files: a self-signed certificate

The callbacks run on the one worker thread that tlsloop starts; ctypes takes the interpreter's lock for each of
them, and gives it back while the main thread is inside a call or waits for SIGINT or SIGTERM.
"""
import ctypes
import signal
import sys
from ctypes import CFUNCTYPE, byref, c_char_p, c_int, c_size_t, c_uint, c_uint16, c_uint64, c_void_p

lib = ctypes.CDLL("libtlsloop.so.0")  # with the number of the ABI that the structs below are for
OK, EFULL = 0, -7

# Without argtypes, ctypes would pass each number as a C int, and cut ids and pointers in half.
for name, result, *arguments in (
    ("tlsloop_last_error", c_char_p),
    ("tlsloop_reason_name", c_char_p, c_int),
    ("tlsloop_tls_new", c_void_p),
    ("tlsloop_tls_free", None, c_void_p),
    ("tlsloop_tls_add_self_signed", c_int, c_void_p, c_char_p),
    ("tlsloop_tls_add_certificate_file", c_int, c_void_p, c_char_p, c_char_p),
    ("tlsloop_server_start", c_int, c_void_p, c_void_p),
    ("tlsloop_server_port", c_int, c_void_p),
    ("tlsloop_server_stats", c_int, c_void_p, c_void_p),
    ("tlsloop_server_stop", c_int, c_void_p, c_uint),
    ("tlsloop_conn_send", c_int, c_uint64, c_void_p, c_size_t),
    *((f"tlsloop_conn_{verb}", c_int, c_uint64) for verb in ("pause", "resume", "abort")),
):
    getattr(lib, name).restype, getattr(lib, name).argtypes = result, arguments

OnConn = CFUNCTYPE(None, c_uint64, c_void_p)
OnData = CFUNCTYPE(None, c_uint64, c_void_p, c_size_t, c_void_p)
OnDisconnect = CFUNCTYPE(None, c_uint64, c_int, c_void_p)


class Callbacks(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("on_connect", OnConn), ("on_data", OnData), ("on_drain", OnConn),
                ("on_end", OnConn), ("on_disconnect", OnDisconnect), ("others", c_void_p * 6)]


class Config(ctypes.Structure):  # members that are not given are 0, their default
    _fields_ = [("size", c_size_t), ("address", c_char_p), ("listen_fd", c_int), ("mode", c_int),
                ("port", c_uint16), ("tls", c_void_p), ("callbacks", ctypes.POINTER(Callbacks)), ("user", c_void_p),
                ("workers", c_uint), ("limits_and_timeouts", c_uint * 7), ("water_marks", c_size_t * 2),
                ("backlog", c_int), ("log_level", c_int), ("proxy_protocol", c_int), ("proxy_trusted", c_char_p)]


class Stats(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("accepted_refused", c_uint64 * 6), ("handshakes", c_uint64),
                ("handshakes_failed", c_uint64), ("handshakes_resumed", c_uint64), ("connects", c_uint64),
                ("disconnects", c_uint64), ("disconnects_by_reason", c_uint64 * 16), ("bytes_in", c_uint64),
                ("bytes_out", c_uint64), ("sends_refused", c_uint64), ("gauges", c_uint64 * 3)]


# These three are functions of C, and must live as long as the server: here, as names of the module. What a
# callback raises goes no further than to standard error, and the connection lives on.
@OnData
def on_data(conn, data, length, user):  # ctypes.string_at(data, length) would give the bytes
    rc = lib.tlsloop_conn_send(conn, data, length)  # takes a copy of all of it, or nothing
    # An empty send asks whether there is room for more. If not, the peer sends without reading its echo, so we
    # stop reading as well; on_drain follows every EFULL.
    if rc == OK and lib.tlsloop_conn_send(conn, None, 0) == EFULL:
        rc = lib.tlsloop_conn_pause(conn)
    if rc != OK:
        lib.tlsloop_conn_abort(conn)  # better a reset than an echo with a hole in it


@OnConn
def on_drain(conn, user):
    lib.tlsloop_conn_resume(conn)


@OnDisconnect
def on_disconnect(conn, reason, user):  # the last callback for conn
    print("ended:", lib.tlsloop_reason_name(reason).decode(), flush=True)


def check(rc):
    return rc if rc >= OK else sys.exit(f"echo_server: {lib.tlsloop_last_error().decode()}")


port, files = int(sys.argv[1]) if len(sys.argv) > 1 else 12345, [name.encode() for name in sys.argv[2:4]]
signals = {signal.SIGINT, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # for sigwait; tlsloop's own threads take no signal anyway
callbacks = Callbacks(ctypes.sizeof(Callbacks), on_data=on_data, on_drain=on_drain, on_disconnect=on_disconnect)
tls, server, stats = lib.tlsloop_tls_new(), c_void_p(), Stats(ctypes.sizeof(Stats))
check(lib.tlsloop_tls_add_certificate_file(tls, *files) if files
      else lib.tlsloop_tls_add_self_signed(tls, b"localhost,127.0.0.1"))
config = Config(ctypes.sizeof(Config), port=port, tls=tls, callbacks=ctypes.pointer(callbacks))
check(lib.tlsloop_server_start(byref(config), byref(server)))
lib.tlsloop_tls_free(tls)  # the server keeps its own reference
print("listening on", check(lib.tlsloop_server_port(server)), flush=True)
signal.sigwait(signals)
check(lib.tlsloop_server_stats(server, byref(stats)))
print(f"{stats.connects} connected, {stats.disconnects} ended, {stats.handshakes_failed} failed to connect, "
      f"{stats.bytes_in} bytes in, {stats.bytes_out} out", flush=True)
check(lib.tlsloop_server_stop(server, 2000))
