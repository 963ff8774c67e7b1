/*
 * tlsloop: a TLS server that a C program starts with one call and then only answers callbacks.
 *
 * tlsloop opens the port, accepts, does the handshakes, reads, writes and ends connections, each on one
 * of its own threads or, if the host wants none, inside the host's loop. Linux, OpenSSL 3.
 *
 * An echo server:
 *
 *     #include <tlsloop.h>
 *
 *     static void echo(tlsloop_conn conn, const void *data, size_t len, void *user)
 *     {
 *         (void)user;
 *         if (tlsloop_conn_send(conn, data, len) != TLSLOOP_OK)
 *             tlsloop_conn_abort(conn);
 *     }
 *
 *     int main(void)
 *     {
 *         tlsloop_callbacks callbacks = TLSLOOP_CALLBACKS_INIT;
 *         tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
 *         tlsloop_server *server = NULL;
 *
 *         callbacks.on_data = echo;
 *         config.callbacks = &callbacks;
 *         config.port = 12345;
 *         config.tls = tlsloop_tls_new();
 *         if (tlsloop_tls_add_self_signed(config.tls, "localhost") != TLSLOOP_OK
 *             || tlsloop_server_start(&config, &server) != TLSLOOP_OK)
 *             return 1;
 *         tlsloop_tls_free(config.tls);
 *         tlsloop_server_wait(server);
 *         return tlsloop_server_stop(server, 5000) != TLSLOOP_OK;
 *     }
 *
 * RESULTS. A function that can fail returns TLSLOOP_OK or one of the negative TLSLOOP_E* numbers, and
 * tlsloop_last_error() then says in one sentence what was wrong. Out parameters are written on success
 * only, unless the function says otherwise. A value that is described here and not supported yet is
 * answered by TLSLOOP_EINVAL.
 *
 * THREADS. What takes a tlsloop_conn may be called by any thread, at any time, and by callbacks. The
 * callbacks of one connection run on one thread, never two at once, in the order of events. A server may
 * be used by several threads at once, but by none once it is being stopped; a tlsloop_client by one
 * thread at a time. tlsloop installs no signal handler, raises no SIGPIPE and never calls exit(). A
 * process that forks while a server runs may only exec or exit in the child: every call there answers
 * TLSLOOP_ESTATE. exit() may be called at any time: threads that are at work in OpenSSL are held before its
 * clean-up, and exit handlers that were registered before the first call of tlsloop, which run behind that,
 * get TLSLOOP_ESTATE from what would use OpenSSL or wait. Callbacks may not throw, longjmp or end their thread.
 * pthread_cancel() of a thread that is inside a call takes effect behind it. Workers have the stack that
 * pthread_create() gives, block all signals but SEGV, BUS, FPE, ILL, TRAP, SYS, ABRT and PROF, and of these
 * what the thread blocks that starts the server.
 *
 * OWNERSHIP. What the host hands over as a pointer stays the host's and is read during the call only,
 * unless the function says otherwise; what tlsloop hands over is valid until the callback returns, or as
 * long as the function says. A connection is a number and not a pointer: one that has ended is harmless
 * to use, every call with it answers TLSLOOP_ECLOSED. A server, client or tlsloop_tls is freed by the
 * function named for it, once; NULL is fine there.
 *
 * ABI. Names, numbers and the order of members never change; structs grow only at their end, and `size`
 * tells which of them a program was compiled with. Set it by the TLSLOOP_*_INIT macro: every member that
 * is not set is then 0, its default. A program runs with every later library of the same soname, and with
 * an earlier one as long as it sets no member that the earlier one does not know.
 *
 * This file is generated from the sources of tlsloop. What it does not declare is not for use.
 */

#ifndef TLSLOOP_H
#define TLSLOOP_H


#include <stddef.h>
#include <stdint.h>

/** The version of this header, 0x00MMmmpp; tlsloop_version() tells the library's. */
#define TLSLOOP_VERSION_NUMBER 0x00000100

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Done.
 */
#define TLSLOOP_OK 0

/**
 * An argument is wrong; the sentence of `tlsloop_last_error` names it.
 */
#define TLSLOOP_EINVAL -1

/**
 * Memory for a send queue or for OpenSSL is out. Elsewhere tlsloop ends the process when memory is out.
 */
#define TLSLOOP_ENOMEM -2

/**
 * A system call failed; the sentence holds errno's own words.
 */
#define TLSLOOP_ESYS -3

/**
 * OpenSSL refused; the sentence holds its own words.
 */
#define TLSLOOP_ETLS -4

/**
 * The peer's certificate is not trusted.
 */
#define TLSLOOP_EVERIFY -5

/**
 * The connection is ended or ending, also long ago.
 */
#define TLSLOOP_ECLOSED -6

/**
 * The send queue is full and nothing was queued; `on_drain` will follow.
 */
#define TLSLOOP_EFULL -7

/**
 * A deadline passed.
 */
#define TLSLOOP_ETIMEDOUT -8

/**
 * The peer ended without close_notify: what came before may be cut off (RFC 8446, 6.1).
 */
#define TLSLOOP_ETRUNCATED -9

/**
 * The call would wait for itself, for instance a stop inside a callback.
 */
#define TLSLOOP_EDEADLK -10

/**
 * Not possible in this state or mode; also every call in a child forked under a running server.
 */
#define TLSLOOP_ESTATE -11

/**
 * A defect in tlsloop, contained. The sentence is worth a bug report.
 */
#define TLSLOOP_EINTERNAL -12

/**
 * The peer sent close_notify (in plain mode: FIN), and everything before it was delivered.
 */
#define TLSLOOP_REASON_PEER 0

/**
 * The host ended or closed the connection, and every byte it sent was handed to the kernel.
 */
#define TLSLOOP_REASON_HOST 1

/**
 * FIN without close_notify: the peer, or somebody between, may have cut the stream off.
 */
#define TLSLOOP_REASON_TRUNCATED 2

/**
 * RST, or a failed write.
 */
#define TLSLOOP_REASON_RESET 3

/**
 * A TLS error or alert.
 */
#define TLSLOOP_REASON_PROTOCOL 4

/**
 * Nothing moved for `idle_timeout_ms`.
 */
#define TLSLOOP_REASON_IDLE_TIMEOUT 5

/**
 * The kernel took no byte for `send_timeout_ms`, or for `close_timeout_ms` with bytes left.
 */
#define TLSLOOP_REASON_SEND_TIMEOUT 6

/**
 * Ended by the stop of the server.
 */
#define TLSLOOP_REASON_STOPPED 7

/**
 * The host aborted the connection.
 */
#define TLSLOOP_REASON_ABORTED 8

/**
 * A system call, or tlsloop itself, failed.
 */
#define TLSLOOP_REASON_SYSTEM 9

/**
 * Every connection begins with a TLS handshake.
 */
#define TLSLOOP_MODE_TLS 0

/**
 * No TLS at all.
 */
#define TLSLOOP_MODE_PLAIN 1

/**
 * Plain until the host starts TLS on the connection.
 */
#define TLSLOOP_MODE_STARTTLS 2

/**
 * TLS if the first bytes are 16 03 0x (RFC 8446, 5.1), else plain; decided within the handshake deadline.
 */
#define TLSLOOP_MODE_DETECT 3

/**
 * Servers ask for no certificate, clients require one.
 */
#define TLSLOOP_VERIFY_DEFAULT 0

/**
 * The peer's certificate is not looked at: the peer may be anybody.
 */
#define TLSLOOP_VERIFY_NONE 1

/**
 * Servers only: a certificate is asked for; one that is sent must be trusted.
 */
#define TLSLOOP_VERIFY_OPTIONAL 2

/**
 * The peer must send a certificate that is trusted.
 */
#define TLSLOOP_VERIFY_REQUIRED 3

/**
 * No PROXY protocol: the first bytes are the client's own.
 */
#define TLSLOOP_PROXY_OFF 0

/**
 * A PROXY header of version 1 or 2 must come before anything else.
 */
#define TLSLOOP_PROXY_REQUIRED 1

/**
 * The server cannot do its work.
 */
#define TLSLOOP_LOG_ERROR 1

/**
 * Something unusual that a person should see. A level of 0 in the configuration means this one.
 */
#define TLSLOOP_LOG_WARN 2

/**
 * The life of the server.
 */
#define TLSLOOP_LOG_INFO 3

/**
 * The life of each connection.
 */
#define TLSLOOP_LOG_DEBUG 4

/**
 * A blocking client. Made by `tlsloop_client_connect`, freed by `tlsloop_client_close`; one thread at
 * a time.
 */
typedef struct tlsloop_client tlsloop_client;

/**
 * A running server. Made by `tlsloop_server_start`, freed by `tlsloop_server_stop`.
 */
typedef struct tlsloop_server tlsloop_server;

/**
 * Certificates, trust and TLS policy. Any number of servers and clients may use one; each keeps a
 * reference, so the host may free its own at once.
 */
typedef struct tlsloop_tls tlsloop_tls;

/**
 * Names one connection.
 *
 * It is a number and not a pointer: below 2^63, never 0, and never given to a second connection of
 * this process. Once `on_disconnect` has returned, every call with it answers TLSLOOP_ECLOSED, for
 * ever, also after the server is gone. It may be copied, compared, kept, and used from any thread.
 */
typedef uint64_t tlsloop_conn;

/**
 * What the server tells the host. Set `size`, best by TLSLOOP_CALLBACKS_INIT; any other member may be
 * NULL.
 *
 * A connection's callbacks run on its worker's thread, never two at once, and `on_disconnect` is the
 * last of them. They may call every function that takes a connection. No lock of tlsloop's is held
 * meanwhile, but the other connections of that worker wait: don't block. A callback must return: it
 * may neither throw nor `longjmp` nor end its thread. `user` is the configuration's.
 */
typedef struct tlsloop_callbacks {
    /**
     * `sizeof(tlsloop_callbacks)` as the host was compiled.
     */
    size_t size;
    /**
     * The connection is up. With TLS: its handshake is done; in plain modes: it was accepted.
     */
    void (*on_connect)(tlsloop_conn conn, void *user);
    /**
     * `len` bytes arrived, at least one. `data` is valid until the callback returns.
     */
    void (*on_data)(tlsloop_conn conn, const void *data, size_t len, void *user);
    /**
     * The send queue was full (a send answered TLSLOOP_EFULL) and has fallen to low water. Once for
     * each time that it was full; not once the connection has begun to close.
     */
    void (*on_drain)(tlsloop_conn conn, void *user);
    /**
     * The peer sent close_notify and will send no more; the host may go on sending until it closes.
     * NULL: tlsloop closes the connection itself.
     */
    void (*on_end)(tlsloop_conn conn, void *user);
    /**
     * The connection has ended, once for each `on_connect`. `reason` is one of TLSLOOP_REASON_*, and
     * `tlsloop_last_error` tells the end in a sentence. The connection's data and facts can still be
     * read here, not after.
     */
    void (*on_disconnect)(tlsloop_conn conn, int reason, void *user);
    /**
     * A peer has connected; TLS has not begun. Non-zero refuses it, and nothing more is said of it.
     * It belongs to no connection: several workers may run it at once. `peer` is valid until the
     * callback returns.
     */
    int (*on_accept)(const char *peer, void *user);
    /**
     * TLS is up on a connection that began in TLSLOOP_MODE_STARTTLS.
     */
    void (*on_tls)(tlsloop_conn conn, void *user);
    /**
     * A connection failed before its `on_connect`, which will not come. `code` is one of TLSLOOP_E*,
     * `why` is a sentence; both strings are valid until the callback returns. Several workers may run
     * it at once.
     */
    void (*on_handshake_failed)(tlsloop_conn conn, int code, const char *peer, const char *why, void *user);
    /**
     * One line for the log, without a line end, valid until the callback returns. `level` is one of
     * TLSLOOP_LOG_*. Any worker may run it, several at once, and also a thread that is inside a call. Calls that
     * it makes write no lines to it.
     */
    void (*on_log)(int level, const char *line, void *user);
    /**
     * A worker's thread begins; on that thread, before any other callback there.
     */
    void (*on_worker_start)(unsigned int worker, void *user);
    /**
     * A worker's thread ends; on that thread, after every other callback there.
     */
    void (*on_worker_stop)(unsigned int worker, void *user);
} tlsloop_callbacks;

/**
 * How a server is set up. Set `size`, best by TLSLOOP_SERVER_CONFIG_INIT; 0 is each other member's
 * default.
 *
 * Strings and both structs are copied; the host may free them once the server is started.
 */
typedef struct tlsloop_server_config {
    /**
     * `sizeof(tlsloop_server_config)` as the host was compiled.
     */
    size_t size;
    /**
     * Where to listen: "0.0.0.0", "::", "localhost" (the first of its addresses), "unix:/run/x.sock".
     * NULL: "::" for IPv6 and IPv4 together, or "0.0.0.0" where there is no IPv6.
     */
    const char *address;
    /**
     * 0: open `address`. Above 0: use this listening stream socket; it passes to the server only if the
     * start answers TLSLOOP_OK, and is never shut down. TLSLOOP_NO_LISTENER: listen nowhere.
     */
    int listen_fd;
    /**
     * TLSLOOP_MODE_*.
     */
    int mode;
    /**
     * The port; 0: the system picks a free one, which the server then tells.
     */
    uint16_t port;
    /**
     * Certificates and policy; may be NULL in TLSLOOP_MODE_PLAIN only. A reference is kept.
     */
    struct tlsloop_tls *tls;
    /**
     * What to call; NULL: nothing. Copied.
     */
    const struct tlsloop_callbacks *callbacks;
    /**
     * Handed to every callback; tlsloop does not look at it.
     */
    void *user;
    /**
     * How many threads serve: 0: one; TLSLOOP_PER_CPU; TLSLOOP_HOST_DRIVEN: none.
     */
    unsigned int workers;
    /**
     * Connections at once, above which new ones are refused; 0: no limit.
     */
    unsigned int max_connections;
    /**
     * Handshakes at once; while so many run, accepting waits. 0: 1024; TLSLOOP_NONE: no limit. TLS that is started on a
     * connection which is up (STARTTLS) does not count: `max_connections` bounds it.
     */
    unsigned int max_handshakes;
    /**
     * Connections at once from one address, above which new ones are refused; 0: no limit.
     */
    unsigned int max_connections_per_ip;
    /**
     * Milliseconds from accept to the end of the handshake, a PROXY header and the choice of
     * TLSLOOP_MODE_DETECT included; 0: 10 s; TLSLOOP_NONE: never ends.
     */
    unsigned int handshake_timeout_ms;
    /**
     * Milliseconds without a byte in either direction; 0: never ends.
     */
    unsigned int idle_timeout_ms;
    /**
     * Milliseconds without the kernel taking a byte while some wait; 0: 30 s; TLSLOOP_NONE: never ends.
     */
    unsigned int send_timeout_ms;
    /**
     * Milliseconds for the end of a connection, restarted whenever the kernel takes bytes, and once more
     * when close_notify has left; 0: 5 s; TLSLOOP_NONE: never ends.
     */
    unsigned int close_timeout_ms;
    /**
     * Bytes in one connection's send queue from which on sends answer TLSLOOP_EFULL; 0: 1 MiB.
     */
    size_t send_high_water;
    /**
     * Bytes to which a full queue must fall before `on_drain`; 0: a quarter of high water. Above high
     * water: TLSLOOP_EINVAL.
     */
    size_t send_low_water;
    /**
     * Connections that the kernel keeps until they are accepted (listen(2)); 0: SOMAXCONN.
     */
    int backlog;
    /**
     * Up to which level `on_log` is called, TLSLOOP_LOG_*; 0: TLSLOOP_LOG_WARN.
     */
    int log_level;
    /**
     * TLSLOOP_PROXY_*.
     */
    int proxy_protocol;
    /**
     * Whose PROXY headers are believed, "10.0.0.0/8, ::1, unix"; nobody else is taken then. "::/0" does not include IPv4.
     * NULL with TLSLOOP_PROXY_REQUIRED: TLSLOOP_EINVAL.
     */
    const char *proxy_trusted;
} tlsloop_server_config;

/**
 * Where to connect to and how. Set `size`, best by TLSLOOP_CLIENT_CONFIG_INIT; 0 is each other
 * member's default.
 *
 * Strings and the struct itself are read during the call only.
 */
typedef struct tlsloop_client_config {
    /**
     * `sizeof(tlsloop_client_config)` as the host was compiled.
     */
    size_t size;
    /**
     * Name or address of the server: "a.example", "192.0.2.7", "2001:db8::7" (also in brackets), or "unix:/run/x.sock".
     */
    const char *host;
    /**
     * The name to ask for (SNI, RFC 6066) and to find in the certificate; NULL: `host`, or "localhost" for a unix socket.
     */
    const char *server_name;
    /**
     * Trust and policy; NULL: the system's trust, verified. A reference is kept.
     */
    struct tlsloop_tls *tls;
    /**
     * Connections that a server makes: the connection's data from its start. Else not used.
     */
    void *data;
    /**
     * TLSLOOP_MODE_TLS, TLSLOOP_MODE_PLAIN or TLSLOOP_MODE_STARTTLS.
     */
    int mode;
    /**
     * The server's port; not looked at for a unix socket.
     */
    uint16_t port;
    /**
     * Milliseconds for everything from the look-up to the end of the handshake; 0: 10 s;
     * TLSLOOP_NONE: never ends.
     */
    unsigned int connect_timeout_ms;
    /**
     * Milliseconds for one blocking send or receive; 0: 30 s; TLSLOOP_NONE: never ends.
     */
    unsigned int io_timeout_ms;
} tlsloop_client_config;

/**
 * What a server has counted since its start. The host sets `size` (TLSLOOP_STATS_INIT), tlsloop fills
 * the rest.
 *
 * In every snapshot `open` is `connects - disconnects`, and `disconnects` is the sum of its reasons.
 * `open`, `handshaking` and `queued_bytes` are gauges; the others never fall.
 */
typedef struct tlsloop_stats {
    /**
     * `sizeof(tlsloop_stats)` as the host was compiled; so many bytes are written.
     */
    size_t size;
    /**
     * Connections that the kernel handed out, refused ones included, those that the host did, and those that the server
     * began for it.
     */
    uint64_t accepted;
    /**
     * Refused by `on_accept`.
     */
    uint64_t refused_callback;
    /**
     * Refused above `max_connections`.
     */
    uint64_t refused_limit;
    /**
     * Refused above `max_connections_per_ip`.
     */
    uint64_t refused_per_ip;
    /**
     * Refused because descriptors were out.
     */
    uint64_t refused_descriptors;
    /**
     * Refused for the PROXY header, or for the lack of one.
     */
    uint64_t refused_proxy;
    /**
     * TLS handshakes that were completed.
     */
    uint64_t handshakes;
    /**
     * Connections that failed before `on_connect`, one for each `on_handshake_failed`. One that sent a wrong PROXY header
     * counts in `refused_proxy` as well; one that was handed in and is above `max_connections_per_ip`, in `refused_per_ip`.
     */
    uint64_t handshakes_failed;
    /**
     * Completed handshakes that resumed an earlier session.
     */
    uint64_t handshakes_resumed;
    /**
     * Connections that came up; counted before their `on_connect`.
     */
    uint64_t connects;
    /**
     * Connections that ended; counted after their `on_disconnect` has returned.
     */
    uint64_t disconnects;
    /**
     * The same by TLSLOOP_REASON_*; the places behind the last reason are 0.
     */
    uint64_t disconnects_by_reason[16];
    /**
     * Bytes handed to `on_data`.
     */
    uint64_t bytes_in;
    /**
     * Bytes of the host's that were handed to the kernel, before encryption.
     */
    uint64_t bytes_out;
    /**
     * Sends that were answered TLSLOOP_EFULL.
     */
    uint64_t sends_refused;
    /**
     * Connections that are up.
     */
    uint64_t open;
    /**
     * Connections that are not up yet.
     */
    uint64_t handshaking;
    /**
     * Bytes in all send queues.
     */
    uint64_t queued_bytes;
} tlsloop_stats;

/**
 * A range of the host's bytes, for calls that take several as one.
 */
typedef struct tlsloop_slice {
    /**
     * The first byte; may be NULL if `len` is 0. It is read during the call only.
     */
    const void *data;
    /**
     * How many bytes.
     */
    size_t len;
} tlsloop_slice;

/**
 * What is known of a connection. The host sets `size` (TLSLOOP_INFO_INIT), tlsloop fills the rest.
 *
 * Text is cut to fit, ends in 0, and is "" where there is none. The struct is the host's own copy and
 * outlives the connection.
 */
typedef struct tlsloop_info {
    /**
     * `sizeof(tlsloop_info)` as the host was compiled; so many bytes are written.
     */
    size_t size;
    /**
     * The other end: `192.0.2.7:5123`, `[2001:db8::7]:5123`, `unix:/run/x.sock`; behind a PROXY header
     * the client that it names.
     */
    char peer[128];
    /**
     * This end, written like `peer`.
     */
    char local[128];
    /**
     * Behind a PROXY header: who sent it.
     */
    char balancer[128];
    /**
     * "TLSv1.3".
     */
    char version[16];
    /**
     * OpenSSL's name of the cipher suite, "TLS_AES_256_GCM_SHA384".
     */
    char cipher[64];
    /**
     * The group of the key exchange, "x25519".
     */
    char group[64];
    /**
     * The protocol that ALPN chose (RFC 7301), "h2".
     */
    char alpn[64];
    /**
     * The name that the client asked for (RFC 6066, 3).
     */
    char sni[256];
    /**
     * Subject of the peer's certificate (RFC 2253).
     */
    char subject[512];
    /**
     * Issuer of the peer's certificate (RFC 2253).
     */
    char issuer[512];
    /**
     * Subject alternative names of the peer's certificate, "DNS:a,IP:192.0.2.7".
     */
    char san[2048];
    /**
     * SHA-256 of the peer's certificate in DER, 64 lower-case hexadecimal digits.
     */
    char sha256[65];
    /**
     * 1 if TLS is up.
     */
    int is_tls;
    /**
     * 1 if the handshake resumed an earlier session.
     */
    int is_resumed;
    /**
     * 1 if the peer sent a certificate, or its resumed session did.
     */
    int has_certificate;
    /**
     * OpenSSL's verdict on that certificate, X509_V_OK (0) or another X509_V_ value
     * (SSL_get_verify_result(3)).
     */
    int verify_result;
    /**
     * 1 if `san` had to be cut.
     */
    int san_truncated;
    /**
     * Unix sockets: process id of the other end when it connected (unix(7), SO_PEERCRED); else -1.
     */
    int peer_pid;
    /**
     * Unix sockets: user id of the other end when it connected; else -1.
     */
    int peer_uid;
    /**
     * Bytes that were handed to `on_data`.
     */
    uint64_t bytes_in;
    /**
     * Bytes of the host's that were handed to the kernel, before encryption.
     */
    uint64_t bytes_out;
    /**
     * Milliseconds since the connection was accepted or made.
     */
    uint64_t age_ms;
} tlsloop_info;

/**
 * The version of tlsloop and of the OpenSSL that is really loaded: "0.1.0 (OpenSSL 3.0.19 27 Jan 2026)".
 *
 * Never NULL, and valid until the process ends. Any thread.
 */
const char *tlsloop_version(void);

/**
 * What a code means in general: "the send queue is full, nothing was queued".
 *
 * For what was wrong this time, see `tlsloop_last_error`. Never NULL, also for numbers that are no
 * code, and valid until the process ends. Any thread.
 */
const char *tlsloop_strerror(int code);

/**
 * The short name of a TLSLOOP_REASON_*, for logs: "peer", "truncated", "idle_timeout".
 *
 * Never NULL, "unknown" for numbers that are no reason, and valid until the process ends. Any thread.
 */
const char *tlsloop_reason_name(int reason);

/**
 * What was wrong with the last call that failed on this thread, in one sentence.
 *
 * It names the argument, file or peer and holds errno's or OpenSSL's own words; in `on_disconnect` it
 * tells how the connection ended. Like errno it is set by failures only: a call that succeeds leaves
 * it as it was, so ask after a call that failed, and at once.
 *
 * Never NULL, "no error" at first; valid until the next call of tlsloop's on that thread, or the
 * thread's end. A very long sentence is cut.
 */
const char *tlsloop_last_error(void);

/**
 * Makes a policy: no certificate, and good defaults for everything else.
 *
 * Defaults: TLS 1.2 and 1.3; suites with forward secrecy and authenticated encryption; the server's order decides; one
 * stateless ticket per handshake, under random keys that are replaced in time; no renegotiation, no compression, no early
 * data. A server asks clients for no certificate; a client verifies the server against the system's trust.
 *
 * Servers and clients are given it in their configs; the first of them to use it freezes it: every function that would
 * change it then answers TLSLOOP_ESTATE. To change something, make a new one and hand it to tlsloop_server_set_tls(). Any
 * thread may use any policy. All functions that change one leave it as it was if they fail.
 *
 * Returns the policy, which the host frees by tlsloop_tls_free(); NULL only in a forked child, and in
 * an exit handler that was registered before the first call of tlsloop.
 */
struct tlsloop_tls *tlsloop_tls_new(void);

/**
 * Gives up the host's reference. Servers, clients and connections that use the policy keep their own, so it may be freed
 * as soon as they were started. NULL: nothing happens. Not to be used afterwards, nor freed twice.
 */
void tlsloop_tls_free(struct tlsloop_tls *tls);

/**
 * Sets the password that opens encrypted keys. It counts for keys that are added after this call; NULL: there is none.
 *
 * The text is copied, and overwritten before its memory is given back. tlsloop never asks on the terminal: an encrypted key
 * without a password is an error.
 *
 * Returns TLSLOOP_OK; TLSLOOP_EINVAL for more than 1024 bytes; TLSLOOP_ESTATE if the policy is in use.
 */
int tlsloop_tls_set_key_password(struct tlsloop_tls *tls, const char *password);

/**
 * Adds a certificate from two files in PEM, which may be the same one: `chain_pem` with the certificate first and then its
 * issuers up to, but not necessarily with, the root; `key_pem` with its private key (RSA of 2048 bits or more, ECDSA,
 * Ed25519).
 *
 * A server that has several picks one by the name that a client asks for, from the names that the certificates carry
 * themselves: an exact name before a wildcard, ECDSA before RSA where the client takes both. If no name fits, or none is
 * asked for, it is the first that was added. A client shows its certificate to a server that asks for one.
 *
 * A certificate that has expired is taken; each tlsloop_server_start() and tlsloop_server_set_tls() that uses it logs a
 * warning.
 *
 * Returns TLSLOOP_OK; TLSLOOP_ESYS for a file that cannot be read; TLSLOOP_ETLS for one that holds no certificate or no key,
 * is damaged, is encrypted and not opened by the password, or for a key that does not belong to the certificate;
 * TLSLOOP_EINVAL for NULL; TLSLOOP_ESTATE if the policy is in use. tlsloop_last_error() names the file.
 */
int tlsloop_tls_add_certificate_file(struct tlsloop_tls *tls, const char *chain_pem, const char *key_pem);

/**
 * The same from PEM text in memory. It needs no zero at its end, and the host may overwrite it when the call returns.
 *
 * Returns as tlsloop_tls_add_certificate_file().
 */
int tlsloop_tls_add_certificate(struct tlsloop_tls *tls, const void *chain, size_t chain_len, const void *key, size_t key_len);

/**
 * Makes a certificate for `names`, host names and addresses as in "localhost,127.0.0.1,*.dev.test", and adds it. It
 * lives in memory only, is valid for 30 days, and nobody vouches for it: for first runs and tests.
 *
 * Returns TLSLOOP_OK; TLSLOOP_EINVAL for NULL or for what is neither a host name nor an address; TLSLOOP_ETLS;
 * TLSLOOP_ESTATE if the policy is in use.
 */
int tlsloop_tls_add_self_signed(struct tlsloop_tls *tls, const char *names);

/**
 * Sends an OCSP response, a file in DER as the certificate's issuer gives it, to clients that ask for one with the
 * certificate that was added last. Once it is out of date it is no longer sent, and using the policy logs a warning.
 *
 * Returns TLSLOOP_OK; TLSLOOP_ESYS for a file that cannot be read; TLSLOOP_ETLS for one that is no successful response or
 * speaks of another certificate; TLSLOOP_EINVAL for NULL; TLSLOOP_ESTATE if no certificate was added, or the policy is in
 * use.
 */
int tlsloop_tls_set_ocsp_file(struct tlsloop_tls *tls, const char *der);

/**
 * Believes the certificates of a PEM file, and no others; it replaces what was set before. NULL: those of the system.
 *
 * A certificate in it ends a chain whether it is a root or not, so a single server can be trusted by its own certificate.
 * If this is never called, a client believes the system's certificates, and a server none.
 *
 * Returns TLSLOOP_OK; TLSLOOP_ESYS for a file that cannot be read; TLSLOOP_ETLS for one that holds no certificate or a
 * damaged one; TLSLOOP_ESTATE if the policy is in use. tlsloop_last_error() names the file.
 */
int tlsloop_tls_set_trust_file(struct tlsloop_tls *tls, const char *ca_pem);

/**
 * The same from PEM text in memory, of which there must be some.
 *
 * Returns as tlsloop_tls_set_trust_file(); TLSLOOP_EINVAL for NULL or a length of 0.
 */
int tlsloop_tls_set_trust(struct tlsloop_tls *tls, const void *ca_pem, size_t len);

/**
 * Refuses peers whose certificate is revoked by the lists of a PEM file; it replaces what was set before.
 *
 * Each issuer of a peer's chain must have a list in it, and one that is up to date, else the peer is refused, too.
 *
 * Returns as tlsloop_tls_set_trust_file(); TLSLOOP_EINVAL for NULL.
 */
int tlsloop_tls_set_crl_file(struct tlsloop_tls *tls, const char *crl_pem);

/**
 * Says what is asked of the peer's certificate, by one of TLSLOOP_VERIFY_*.
 *
 * TLSLOOP_VERIFY_DEFAULT: a server asks for none, a client requires one that is trusted and carries the name it connects
 * to. TLSLOOP_VERIFY_NONE: anybody will do; a client is then open to whoever stands in between, and the `verify_result` of
 * tlsloop_info means something only if a trust was set, NULL for the system's included. TLSLOOP_VERIFY_OPTIONAL, on servers
 * only: a client may come without, but a certificate that it shows must be trusted. TLSLOOP_VERIFY_REQUIRED: no connection
 * without a trusted one.
 *
 * The peer's certificates may have 32 KiB in all; more fail the handshake.
 *
 * A server that verifies needs a trust to be set, else its start answers TLSLOOP_EINVAL. What one policy lets in is never
 * resumed under another that verifies or trusts differently.
 *
 * Returns TLSLOOP_OK; TLSLOOP_EINVAL for another number; TLSLOOP_ESTATE if the policy is in use.
 */
int tlsloop_tls_set_verify(struct tlsloop_tls *tls, int verify);

/**
 * A client with this policy takes the server whose own certificate has this SHA-256, and no other, whatever chain, name and
 * dates it has. Servers do not look at it.
 *
 * `sha256_hex` is 64 hexadecimal digits, with or without colons, as `openssl x509 -fingerprint -sha256` and the `sha256`
 * of tlsloop_info tell it.
 *
 * Returns TLSLOOP_OK; TLSLOOP_EINVAL for NULL or another text; TLSLOOP_ESTATE if the policy is in use.
 */
int tlsloop_tls_set_pin(struct tlsloop_tls *tls, const char *sha256_hex);

/**
 * Sets the oldest and the newest version, TLSLOOP_TLS1_2 or TLSLOOP_TLS1_3 each. Older ones cannot be had.
 *
 * Returns TLSLOOP_OK; TLSLOOP_EINVAL for another number, or if `min` is newer than `max`; TLSLOOP_ESTATE if the policy is in
 * use.
 */
int tlsloop_tls_set_versions(struct tlsloop_tls *tls, int min, int max);

/**
 * Sets the suites of TLS 1.2 ("ECDHE+AESGCM", ciphers(1)) and of TLS 1.3 ("TLS_AES_256_GCM_SHA384:..."), the preferred first.
 * NULL: as they are. The defaults need no change for security.
 *
 * Returns TLSLOOP_OK; TLSLOOP_EINVAL if a list names one that this OpenSSL does not know, or leaves none;
 * TLSLOOP_ESTATE if the policy is in use.
 */
int tlsloop_tls_set_ciphers(struct tlsloop_tls *tls, const char *tls12_list, const char *tls13_suites);

/**
 * Sets the groups of the key exchange, the preferred first, as in "X25519:P-256". The default begins with
 * X25519MLKEM768, which a quantum computer does not break, where OpenSSL has it (3.5). TLS 1.2 takes certificates only on a
 * curve of this list (RFC 8422, 5.1.1); P-521 is not in the default.
 *
 * Returns TLSLOOP_OK; TLSLOOP_EINVAL for NULL or for a group that this OpenSSL does not know; TLSLOOP_ESTATE if the policy is
 * in use.
 */
int tlsloop_tls_set_groups(struct tlsloop_tls *tls, const char *groups);

/**
 * Sets the application protocols of ALPN, as in "h2,http/1.1", the preferred first: a server picks the first of its own
 * list that the client offers, too. tlsloop_info tells which it was.
 *
 * `required` 0: a connection without a common protocol goes on without one. Else it is refused, by a server with the alert
 * no_application_protocol.
 *
 * Returns TLSLOOP_OK; TLSLOOP_EINVAL for NULL, or for a name of 0 or more than 255 bytes; TLSLOOP_ESTATE if the policy is in
 * use.
 */
int tlsloop_tls_set_alpn(struct tlsloop_tls *tls, const char *comma_separated, int required);

/**
 * Takes the keys of session tickets from files, so that other processes with the same files can resume the sessions of this
 * one, and this one after a restart.
 *
 * A file is raw: 48 bytes (name 16, AES 16, HMAC 16) or 80 bytes (name 16, HMAC 32, AES 32), as nginx has them; make one by
 * `openssl rand 80`. All have the same size. The first encrypts; all decrypt, and a ticket of an older key is renewed under
 * the first. To rotate, put a new file in front, drop the oldest, and hand a new policy to tlsloop_server_set_tls(): about
 * once a day, for whoever has the keys can read recorded connections of TLS 1.2.
 *
 * Without this, each policy has random keys, which are gone with it. It replaces them by itself: one encrypts for twelve
 * hours and decrypts for a day.
 *
 * Returns TLSLOOP_OK; TLSLOOP_ESYS for a file that cannot be read; TLSLOOP_EINVAL for a wrong size, mixed sizes, NULL or no
 * file; TLSLOOP_ESTATE if the policy is in use. tlsloop_last_error() names the file.
 */
int tlsloop_tls_set_ticket_key_files(struct tlsloop_tls *tls, const char *const *paths, size_t n);

/**
 * Appends the secrets of all connections to a file, in the format that Wireshark reads. Whoever has the file can read the
 * connections: for debugging only. It is opened by this call, and made for its owner alone if it is not there.
 *
 * Returns TLSLOOP_OK; TLSLOOP_ESYS for a file that cannot be opened; TLSLOOP_EINVAL for NULL; TLSLOOP_ESTATE if the policy
 * is in use.
 */
int tlsloop_tls_set_keylog_file(struct tlsloop_tls *tls, const char *path);

/**
 * Starts a server: it listens, and its workers run, when the call returns TLSLOOP_OK.
 *
 * `config`, its texts and its callback table are copied and may go when the call returns; `config->tls` keeps a
 * reference of the server's own and is frozen, but in TLSLOOP_MODE_PLAIN. `config->listen_fd` passes to the server on
 * TLSLOOP_OK only.
 * `*out` is written before the first callback runs, and only on TLSLOOP_OK; the host ends the server with
 * tlsloop_server_stop(). Any thread may call it; not to be called before daemon(3), which would leave the threads behind.
 *
 * Returns TLSLOOP_OK; TLSLOOP_EINVAL for a member that is wrong (a certificate or trust that is missing, too);
 * TLSLOOP_ESYS where the system refused, for example a port in use; TLSLOOP_ETLS where OpenSSL did; TLSLOOP_ESTATE if the
 * process would have more than 4096 workers; TLSLOOP_EDEADLK for a host-driven server in a callback.
 * tlsloop_last_error() names the culprit. On failure nothing is left behind.
 */
int tlsloop_server_start(const struct tlsloop_server_config *config, struct tlsloop_server **out);

/**
 * Waits until tlsloop_server_request_stop() was called; a host-driven server is polled until then.
 *
 * Returns TLSLOOP_OK, at once if the stop was requested before; TLSLOOP_EDEADLK in a callback; TLSLOOP_ESTATE if another
 * thread is polling; TLSLOOP_EINVAL for NULL. The server runs on: tlsloop_server_stop() ends it.
 */
int tlsloop_server_wait(struct tlsloop_server *server);

/**
 * Makes tlsloop_server_wait() return; host-driven, the descriptor becomes readable and tlsloop_server_poll() returns 1.
 * Nothing else changes: connections are served until tlsloop_server_stop().
 *
 * Async-signal-safe (signal-safety(7)): meant for handlers of SIGTERM. errno and tlsloop_last_error() stay as they are.
 * Returns TLSLOOP_OK; TLSLOOP_EINVAL for NULL; TLSLOOP_ESTATE in a forked child.
 */
int tlsloop_server_request_stop(struct tlsloop_server *server);

/**
 * Stops accepting and serves on. What the kernel has queued is still accepted, up to `max_connections`; then the server
 * closes its copy of the listening socket, and the file of a unix socket goes. Where another process holds the socket, no
 * connection is lost.
 *
 * Any thread and any callback may call it; again, it does nothing. Returns TLSLOOP_OK or TLSLOOP_EINVAL for NULL.
 */
int tlsloop_server_drain(struct tlsloop_server *server);

/**
 * Ends a server: accepts no more, ends each connection in good order (queued bytes, close_notify, the peer's end) for up
 * to `grace_ms` milliseconds, cuts off those that are left, joins the threads, frees everything.
 *
 * Connections that it ends are reported with TLSLOOP_REASON_STOPPED; host-driven, the remaining callbacks run on the
 * calling thread. When it has returned, no callback runs any more and `server` is gone. `grace_ms` 0: no waiting.
 *
 * Returns TLSLOOP_OK, also for NULL. TLSLOOP_EDEADLK in a callback and TLSLOOP_ESTATE while another thread is in
 * tlsloop_server_wait() or tlsloop_server_poll(): the server runs on. Any other result has freed it.
 */
int tlsloop_server_stop(struct tlsloop_server *server, unsigned int grace_ms);

/**
 * The port that the server listens on, for configurations with port 0; 0 on a unix socket.
 *
 * Returns the port; TLSLOOP_ESTATE without a listening socket; TLSLOOP_EINVAL for NULL.
 */
int tlsloop_server_port(const struct tlsloop_server *server);

/**
 * A duplicate of the listening socket, close-on-exec, to hand to a successor process. The host closes it.
 *
 * Returns the descriptor; TLSLOOP_ESTATE without a listening socket or after tlsloop_server_drain(); TLSLOOP_ESYS where
 * the system refused; TLSLOOP_EINVAL for NULL.
 */
int tlsloop_server_listen_fd(const struct tlsloop_server *server);

/**
 * Uses another policy for new handshakes. One whose ClientHello was read keeps the old one, and so do connections.
 *
 * Any thread and any callback may call it. Returns TLSLOOP_OK; otherwise nothing has changed: TLSLOOP_EINVAL for NULL or a
 * policy that cannot serve, TLSLOOP_ESTATE in plain mode, TLSLOOP_ETLS where OpenSSL refused.
 */
int tlsloop_server_set_tls(struct tlsloop_server *server, struct tlsloop_tls *tls);

/**
 * Takes over a connected stream socket that the host accepted itself, also descriptor 0 under inetd. The handshake
 * follows, then on_connect, or on_handshake_failed instead.
 *
 * `data` is the connection's data from the start. `*out` (may be NULL) is written before the first callback can run, on
 * TLSLOOP_OK only, and only then does `fd` pass to the server: non-blocking, close-on-exec and, over TCP, with TCP_NODELAY.
 * Any thread and any callback may call it.
 *
 * Returns TLSLOOP_OK; TLSLOOP_EINVAL for NULL or an `fd` that is not a connected stream socket; TLSLOOP_ESTATE at a limit
 * of connections, or for a peer that must send a PROXY header and is not in `config->proxy_trusted`; TLSLOOP_ECLOSED once
 * the server is stopping; TLSLOOP_ESYS where the system refused.
 */
int tlsloop_server_adopt(struct tlsloop_server *server, int fd, void *data, tlsloop_conn *out);

/**
 * Begins a connection to another server; it then has the same callbacks as an accepted one, but for on_accept.
 *
 * Look-up, connection and, in TLSLOOP_MODE_TLS, the handshake have `config->connect_timeout_ms` in all; the addresses of a
 * name are tried one after the other. Then follows on_connect, or on_handshake_failed instead. `config->data` is the
 * connection's data from the start, `config->tls` says whom to trust and is frozen, the mode and the policy of the server
 * itself do not matter. With TLSLOOP_MODE_STARTTLS, tlsloop_conn_start_tls() begins the handshake of a client.
 * `config->io_timeout_ms` is not looked at. A name is looked up by a thread of the server's that begins with the first one,
 * and by others, eight in all, while that waits for an answer; an address needs none.
 *
 * `config` and its texts are read during the call only. `*out` (may be NULL) is written before the first callback can run,
 * on TLSLOOP_OK only. What is sent before on_connect leaves when the connection is up; to close it before gives
 * on_handshake_failed. Any thread and any callback may call it; it never waits.
 *
 * Returns TLSLOOP_OK; TLSLOOP_EINVAL for NULL or a member that is wrong; TLSLOOP_ESTATE at the limit of connections;
 * TLSLOOP_ECLOSED once the server is stopping; TLSLOOP_ESYS without a descriptor or thread to be had; TLSLOOP_ETLS.
 */
int tlsloop_server_connect(struct tlsloop_server *server, const struct tlsloop_client_config *config, tlsloop_conn *out);

/**
 * Counts, as of now. In every snapshot `open == connects - disconnects`, and `disconnects` is the sum of its reasons.
 *
 * Any thread and any callback may call it; `out->size` says how much it holds. Returns TLSLOOP_OK or TLSLOOP_EINVAL.
 */
int tlsloop_server_stats(const struct tlsloop_server *server, struct tlsloop_stats *out);

/**
 * Host-driven: the descriptor to watch for reading in the host's own loop. It is level-triggered, stays readable while
 * work is left and becomes readable when a deadline has come, so the host needs no other wake-up. A loop that watches by
 * edge (EPOLLET) has to poll until the descriptor is no longer readable. It belongs to the server; close it not.
 *
 * Returns the descriptor; TLSLOOP_ESTATE for a server with worker threads; TLSLOOP_EINVAL for NULL.
 */
int tlsloop_server_fd(const struct tlsloop_server *server);

/**
 * Host-driven: one turn on the calling thread, in which callbacks run. Waits for work up to `timeout_ms` milliseconds; 0:
 * not at all; -1: until there is some. A signal is a turn without events.
 *
 * Returns 0, or 1 once a stop was requested, and from then on without waiting; TLSLOOP_EDEADLK in a callback;
 * TLSLOOP_ESTATE while another thread polls or waits, or for a server with worker threads; TLSLOOP_EINVAL for NULL or a
 * timeout below -1.
 */
int tlsloop_server_poll(struct tlsloop_server *server, int timeout_ms);

/**
 * Queues `len` bytes for the peer: all of them, in order, or none.
 *
 * The bytes are copied before the call returns. Any thread, and any callback, may call it; it never waits and never calls
 * back. Bytes sent before on_connect leave when the connection is up. An empty send queues nothing and is refused like any
 * other.
 *
 * Returns TLSLOOP_OK; TLSLOOP_EFULL with nothing queued while the queue is at or above high water (on_drain will follow);
 * TLSLOOP_ECLOSED if the connection has ended or begun to; TLSLOOP_ENOMEM; TLSLOOP_EINVAL if `data` is NULL and `len` not 0.
 */
int tlsloop_conn_send(tlsloop_conn conn, const void *data, size_t len);

/**
 * Queues `n` pieces as one tlsloop_conn_send() of all of them: none gets between, and all are queued or none.
 *
 * Returns as tlsloop_conn_send(); TLSLOOP_EINVAL also if `parts` is NULL and `n` not 0.
 */
int tlsloop_conn_sendv(tlsloop_conn conn, const struct tlsloop_slice *parts, size_t n);

/**
 * How many bytes are accepted and not yet in the kernel's hands; 0 once the connection has ended. Any thread.
 */
size_t tlsloop_conn_queued(tlsloop_conn conn);

/**
 * Ends this side's direction behind what is queued, with close_notify (in plain modes FIN); the connection goes on
 * receiving until the peer's end.
 *
 * Any thread, any callback; returns at once. If the peer stays silent for `close_timeout_ms` after that, the connection
 * ends with TLSLOOP_REASON_HOST. Returns TLSLOOP_OK, or TLSLOOP_ECLOSED if it has ended or begun to.
 */
int tlsloop_conn_end(tlsloop_conn conn);

/**
 * Ends the connection: what is queued leaves, then close_notify; what arrives is dropped until the peer's end or
 * `close_timeout_ms`, so that unread input never destroys the answer. on_disconnect comes from the loop, later.
 *
 * Any thread, any callback; returns at once. Returns TLSLOOP_OK, or TLSLOOP_ECLOSED if it has ended or is being closed.
 */
int tlsloop_conn_close(tlsloop_conn conn);

/**
 * Ends the connection at once with RST; queued bytes are dropped. on_disconnect comes from the loop, later, with
 * TLSLOOP_REASON_ABORTED. A forked child that holds a copy of the socket does not prevent the reset. A unix socket knows no
 * reset (unix(7)): its peer sees the end.
 *
 * Any thread, any callback. Returns TLSLOOP_OK, or TLSLOOP_ECLOSED if it has ended or was aborted before.
 */
int tlsloop_conn_abort(tlsloop_conn conn);

/**
 * Holds back on_data, and what stands behind the data: on_end and a clean or truncated end. Reset, timeouts and the
 * host's own close come at once. TCP then makes the peer wait.
 *
 * Any thread, any callback. From another thread, a callback that runs already is not stopped. Returns TLSLOOP_OK, or
 * TLSLOOP_ECLOSED if the connection has ended.
 */
int tlsloop_conn_pause(tlsloop_conn conn);

/**
 * Undoes tlsloop_conn_pause(), however often that was called. Bytes that had arrived before come though no packet does.
 *
 * Any thread, any callback. Returns TLSLOOP_OK, or TLSLOOP_ECLOSED if the connection has ended.
 */
int tlsloop_conn_resume(tlsloop_conn conn);

/**
 * Sets this connection's idle timeout, in milliseconds without a byte in either direction, counted from now. 0 or
 * TLSLOOP_NONE: never.
 *
 * Any thread, any callback. Returns TLSLOOP_OK, or TLSLOOP_ECLOSED if the connection has ended.
 */
int tlsloop_conn_set_idle_timeout(tlsloop_conn conn, unsigned int ms);

/**
 * Goes over from plain text to TLS, in TLSLOOP_MODE_STARTTLS; on_tls tells that it is up.
 *
 * Only from a callback of this connection or a posted function. Sends that were accepted before leave first, in plain;
 * later ones wait for TLS. Bytes that had arrived and were not handed over yet have to be the beginning of TLS; others end
 * the connection with TLSLOOP_REASON_PROTOCOL, because they could pass for bytes that came through TLS. Bytes behind the
 * command in the same on_data are the host's to refuse. If the handshake fails, on_disconnect tells it, never
 * on_handshake_failed.
 *
 * Returns TLSLOOP_OK; TLSLOOP_ESTATE elsewhere, in another mode, or the second time; TLSLOOP_ECLOSED if the connection has
 * ended or begun to.
 */
int tlsloop_conn_start_tls(tlsloop_conn conn);

/**
 * Tells what is known of a connection: addresses, what TLS has agreed on, the peer's certificate, counts. Text is cut to
 * fit and ends in 0; the struct outlives the connection.
 *
 * Any thread; in on_disconnect too. Returns TLSLOOP_OK; TLSLOOP_ECLOSED if the connection has ended; TLSLOOP_EINVAL for NULL
 * or a `size` that is not set.
 */
int tlsloop_conn_info(tlsloop_conn conn, struct tlsloop_info *out);

/**
 * The peer's certificate in DER. `*len` is the room at `der` and becomes the certificate's length.
 *
 * Any thread; in on_disconnect too. Returns TLSLOOP_OK; TLSLOOP_EINVAL if there is too little room, with `*len` set, so a
 * first call with room 0 asks for the length; TLSLOOP_ESTATE if the peer has shown none; TLSLOOP_ECLOSED if the connection
 * has ended.
 */
int tlsloop_conn_peer_certificate(tlsloop_conn conn, void *der, size_t *len);

/**
 * Sets the host's own pointer for a connection. tlsloop never looks behind it; free it in on_disconnect.
 *
 * Any thread. Returns TLSLOOP_OK, or TLSLOOP_ECLOSED if the connection has ended.
 */
int tlsloop_conn_set_data(tlsloop_conn conn, void *data);

/**
 * The host's own pointer for a connection; NULL if none was set, and once on_disconnect has returned. Any thread.
 */
void *tlsloop_conn_data(tlsloop_conn conn);

/**
 * Runs `run(conn, arg)` on the connection's worker, between its other callbacks: the way to touch a connection's state
 * from another thread without a lock of the host's.
 *
 * Any thread, any callback. What returned TLSLOOP_OK runs exactly once, before the connection's on_disconnect. Returns
 * TLSLOOP_OK; TLSLOOP_ECLOSED if the connection has ended; TLSLOOP_EINVAL if `run` is NULL.
 */
int tlsloop_conn_post(tlsloop_conn conn, void (*run)(tlsloop_conn conn, void *arg), void *arg);

/**
 * tlsloop_conn_post() in `ms` milliseconds, or earlier if the connection ends first.
 */
int tlsloop_conn_post_after(tlsloop_conn conn, unsigned int ms, void (*run)(tlsloop_conn conn, void *arg), void *arg);

/**
 * Connects to a server: look-up, connection and, in TLSLOOP_MODE_TLS, the handshake, all within `connect_timeout_ms`.
 *
 * Every address of a name is tried until one answers. The server's certificate must come from somebody who is trusted and
 * carry `server_name`, unless `config->tls` says TLSLOOP_VERIFY_NONE or has a pin. An earlier session with the same
 * `config->tls`, host and port is resumed where the server allows it. `config` and its texts are read during the call only;
 * `config->tls` keeps a reference of the client's own and is frozen. `*out` is written on TLSLOOP_OK only; the host ends
 * the client with tlsloop_client_close(). A look-up that takes longer than it may is left to a thread that ends with it.
 *
 * Returns TLSLOOP_OK; TLSLOOP_EINVAL for a member that is wrong; TLSLOOP_ETIMEDOUT; TLSLOOP_ESYS where the name has no
 * address or the connection was refused or reset; TLSLOOP_ETRUNCATED if the server left during the handshake;
 * TLSLOOP_EVERIFY if its certificate is not trusted; TLSLOOP_ETLS for an alert or another failure of TLS.
 * tlsloop_last_error() names the server and has errno's or OpenSSL's own words.
 */
int tlsloop_client_connect(const struct tlsloop_client_config *config, struct tlsloop_client **out);

/**
 * Sends `len` bytes: all of them have been handed to the kernel when it returns TLSLOOP_OK. `len` 0 sends nothing.
 *
 * While the server takes none, what it sends meanwhile is taken in and kept for tlsloop_client_recv(): as many bytes as
 * this call sends, and 4 MiB more. After a failure nobody knows how much has left, so every later call answers the same;
 * tlsloop_client_recv() goes on.
 *
 * Returns TLSLOOP_OK; TLSLOOP_ECLOSED after tlsloop_client_end(); TLSLOOP_ETIMEDOUT after `io_timeout_ms` in all;
 * TLSLOOP_ESYS if the connection was reset; TLSLOOP_ETLS if the server said by an alert why it left; TLSLOOP_EINVAL for
 * NULL.
 */
int tlsloop_client_send(struct tlsloop_client *client, const void *data, size_t len);

/**
 * Receives up to `len` bytes into `buf`, and waits until there is one.
 *
 * Returns how many; 0 when the server has ended in good order (close_notify, in plain text FIN), and again 0 from then on.
 * Otherwise a code, which comes again from then on, except for the time-out: TLSLOOP_ETRUNCATED if the server ended
 * without close_notify, so that data may be missing; TLSLOOP_ESYS if the connection was reset; TLSLOOP_ETLS for an alert
 * or another failure of TLS; TLSLOOP_ETIMEDOUT if nothing came for `io_timeout_ms`; TLSLOOP_EINVAL for NULL or a `len` of
 * 0. What arrived before an end is received before it.
 */
long tlsloop_client_recv(struct tlsloop_client *client, void *buf, size_t len);

/**
 * Ends this side's direction, with close_notify (in plain text FIN): the server knows that it has everything. Receiving
 * goes on.
 *
 * Returns TLSLOOP_OK; TLSLOOP_ECLOSED if it was called before; otherwise as tlsloop_client_send().
 */
int tlsloop_client_end(struct tlsloop_client *client);

/**
 * TLSLOOP_MODE_STARTTLS: begins TLS, after the server has agreed to it in plain text, and waits for the handshake within
 * another `connect_timeout_ms`. The server's certificate is verified as by tlsloop_client_connect().
 *
 * The host must have received all of the server's answer: bytes that have arrived behind it may be anybody's, and make
 * the call fail with TLSLOOP_ETLS. After any failure but TLSLOOP_ESTATE and TLSLOOP_EINVAL the client is of no use but to
 * be closed.
 *
 * Returns TLSLOOP_OK; TLSLOOP_ESTATE in another mode or the second time; otherwise as tlsloop_client_connect().
 */
int tlsloop_client_start_tls(struct tlsloop_client *client);

/**
 * Ends the connection and frees the client: close_notify, if nothing has failed before, and the socket.
 *
 * It does not wait for the server, except for up to a second until a message of TLS that has come in part is whole (nothing
 * can be said in the middle of one) and what was sent has reached its machine. What has arrived and was not received is
 * lost. After a send that timed out the server gets a reset. Returns TLSLOOP_OK, also for NULL; the client is gone in any
 * case but that of TLSLOOP_ESTATE in a forked child or a late exit handler.
 */
int tlsloop_client_close(struct tlsloop_client *client);

/**
 * The client's descriptor, for its options or to wait for several things at once. It stays the client's: the host
 * neither reads, writes nor closes it. Bytes that tlsloop_client_recv() would give at once may have left it already, and
 * that it is readable does not mean that there are any.
 *
 * Returns the descriptor, or TLSLOOP_EINVAL for NULL.
 */
int tlsloop_client_fd(const struct tlsloop_client *client);

/**
 * Tells what is known of the connection, as tlsloop_conn_info() does: `peer` and the certificate are the server's, `sni`
 * is the name that was asked for.
 *
 * Returns TLSLOOP_OK, or TLSLOOP_EINVAL for NULL or a `size` that is not set.
 */
int tlsloop_client_info(const struct tlsloop_client *client, struct tlsloop_info *out);

/** TLS 1.2 (RFC 5246), the number on the wire. */
#define TLSLOOP_TLS1_2 0x0303

/** TLS 1.3 (RFC 8446), the number on the wire. */
#define TLSLOOP_TLS1_3 0x0304

/** Of a limit: none. Of a timeout: never. */
#define TLSLOOP_NONE (~0u)

/** Of `workers`: no thread; the host polls. */
#define TLSLOOP_HOST_DRIVEN (~0u)

/** Of `workers`: one thread for each CPU in the affinity mask. */
#define TLSLOOP_PER_CPU (~0u - 1u)

/** Of `listen_fd`: the server has no listening socket. */
#define TLSLOOP_NO_LISTENER (-1)

/** Starts a tlsloop_callbacks: `tlsloop_callbacks callbacks = TLSLOOP_CALLBACKS_INIT;` */
#define TLSLOOP_CALLBACKS_INIT \
    { sizeof(tlsloop_callbacks), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL }

/** Starts a tlsloop_server_config; every member but `size` is 0, its default. */
#define TLSLOOP_SERVER_CONFIG_INIT \
    { sizeof(tlsloop_server_config), NULL, 0, 0, 0, NULL, NULL, NULL, \
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL }

/** Starts a tlsloop_client_config; every member but `size` is 0, its default. */
#define TLSLOOP_CLIENT_CONFIG_INIT \
    { sizeof(tlsloop_client_config), NULL, NULL, NULL, NULL, 0, 0, 0, 0 }

/** Starts a tlsloop_info. */
#define TLSLOOP_INFO_INIT \
    { sizeof(tlsloop_info), "", "", "", "", "", "", "", "", "", "", "", "", \
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/** Starts a tlsloop_stats. */
#define TLSLOOP_STATS_INIT \
    { sizeof(tlsloop_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
      { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, 0, 0, 0, 0, 0, 0 }

#ifdef __cplusplus
}
#endif

#endif /* TLSLOOP_H */
