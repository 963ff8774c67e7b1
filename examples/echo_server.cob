      *> A TLS echo server in COBOL: whatever arrives goes back to the peer that sent it.
      *>
      *>     cobc -x -Wno-unfinished echo_server.cob -ltlsloop         GnuCOBOL 3 or 4
      *>     ./echo_server [PORT [CERT KEY]]      without files: a self-signed certificate
      *>
      *> COBOL's run-time belongs to one thread, so tlsloop starts none here (HOST-DRIVEN): the callbacks are
      *> programs of this file, and run inside tlsloop_server_poll, on the thread that calls it. What C passes
      *> as size_t or uint64_t is BY VALUE SIZE 8, because BY VALUE alone is 4 bytes of a number.
      *>
      *> GnuCOBOL 3.1 takes it that a program was given as many parameters as the last CALL had, also where it is
      *> C that calls. So every CALL that a callback can follow has 3, the most that a callback here looks at; the
      *> zeros at their ends are for that alone, and C does not look at them.
       >>SOURCE FORMAT IS FREE
identification division.
program-id. echo-server.
data division.
working-storage section.
copy "tlsloop.cpy".
01 watched.                                         *> two of struct pollfd, poll(2)
   05 server-fd         binary-long.
   05 filler            binary-short value 1.       *> POLLIN
   05 server-ready      binary-short value 0.
   05 signal-fd         binary-long.
   05 filler            binary-short value 1.
   05 signal-ready      binary-short value 0.
01 signals              pic x(128).                 *> sigset_t
01 server               pointer.
01 rc                   binary-long.
01 port-argument        pic x(5) value "12345".
01 cert-file            pic x(1024) value spaces.
01 key-file             pic x(1024) value spaces.
01 port-shown           pic z(4)9.
01 why-at               pointer.
01 why                  pic x(512) value spaces.
01 summary.
   05 shown-connects    pic z(8)9.   05 filler pic x(12) value " connected, ".
   05 shown-disconnects pic z(8)9.   05 filler pic x(8)  value " ended, ".
   05 shown-failed      pic z(8)9.   05 filler pic x(20) value " failed to connect, ".
   05 shown-in          pic z(14)9.  05 filler pic x(11) value " bytes in, ".
   05 shown-out         pic z(14)9.  05 filler pic x(4)  value " out".
linkage section.
01 c-text               pic x(512).

procedure division.
    accept port-argument from argument-value on exception continue end-accept
    accept cert-file from argument-value on exception continue end-accept
    accept key-file from argument-value on exception continue end-accept
    perform take-signals
    perform start-server
    perform serve until signal-ready not = 0
    perform end-server
    stop run returning 0.

take-signals.
    *> SIGINT (2) and SIGTERM (15) are blocked, and read from a descriptor instead: signalfd(2).
    call static "sigemptyset" using signals
    call static "sigaddset" using signals by value 2
    call static "sigaddset" using signals by value 15
    call static "sigprocmask" using by value 0 by reference signals omitted
    call static "signalfd" using by value -1 by reference signals by value 0 returning signal-fd
    if signal-fd < 0
        display "echo_server: signalfd failed" upon syserr
        stop run returning 1
    end-if.

start-server.
    move low-values to tlsloop-callbacks tlsloop-server-config
    call static "tlsloop_tls_new" returning tls
    if key-file = spaces
        call static "tlsloop_tls_add_self_signed" using by value tls by reference z"localhost,127.0.0.1" returning rc
    else
        inspect cert-file replacing trailing spaces by low-values   *> a zero byte ends a text in C
        inspect key-file replacing trailing spaces by low-values
        call static "tlsloop_tls_add_certificate_file" using by value tls by reference cert-file key-file returning rc
    end-if
    perform end-if-failed

    move length of tlsloop-callbacks to callbacks-size
    set on-data to entry "on-data"
    set on-drain to entry "on-drain"
    set on-disconnect to entry "on-disconnect"
    move length of tlsloop-server-config to config-size
    move function numval(port-argument) to port     *> 0: the system picks one
    set callbacks-at to address of tlsloop-callbacks
    move tlsloop-host-driven to workers
    call static "tlsloop_server_start" using tlsloop-server-config server returning rc
    perform end-if-failed
    call static "tlsloop_tls_free" using by value tls               *> the server keeps its own reference
    call static "tlsloop_server_fd" using by value server returning server-fd
    call static "tlsloop_server_port" using by value server returning rc
    move rc to port-shown
    display "listening on " function trim(port-shown).

serve.
    *> Without timeout (-1), because tlsloop's deadlines make its descriptor ready, too.
    call static "poll" using watched by value size 8 2 by value size 4 -1
    if server-ready not = 0
        call static "tlsloop_server_poll" using by value server 0 0 returning rc
        perform end-if-failed
    end-if.

end-server.
    move length of tlsloop-stats to stats-size
    call static "tlsloop_server_stats" using by value server by reference tlsloop-stats returning rc
    perform end-if-failed
    move connects to shown-connects
    move disconnects to shown-disconnects
    move handshakes-failed to shown-failed
    move bytes-in to shown-in
    move bytes-out to shown-out
    display summary
    call static "tlsloop_server_stop" using by value server 2000 0 returning rc    *> the last callbacks run inside
    perform end-if-failed.

end-if-failed.
    if rc < 0
        call static "tlsloop_last_error" returning why-at           *> one sentence, with the file or address
        set address of c-text to why-at
        string c-text delimited by low-value into why
        display "echo_server: " function trim(why) upon syserr
        stop run returning 1
    end-if.
end program echo-server.

identification division.
program-id. on-data.
data division.
working-storage section.
78 tlsloop-full         value -7.                   *> TLSLOOP_EFULL
01 rc                   binary-long.
linkage section.
01 conn                 binary-double unsigned.
01 bytes                pointer.                    *> good until GOBACK
01 len                  binary-double unsigned.
procedure division using by value unsigned size 8 conn by value bytes by value unsigned size 8 len.
    call static "tlsloop_conn_send"                 *> takes a copy of all of it, or nothing
        using by value unsigned size 8 conn by value bytes by value unsigned size 8 len returning rc
    if rc = 0
        *> An empty send asks whether there is room for more. If not, the peer sends without reading its echo,
        *> so we stop reading as well; on-drain follows.
        call static "tlsloop_conn_send"
            using by value unsigned size 8 conn by value size 8 0 by value size 8 0 returning rc
        if rc = tlsloop-full
            call static "tlsloop_conn_pause" using by value unsigned size 8 conn by value 0 0 returning rc
        end-if
    end-if
    if rc not = 0                                   *> better a reset than an echo with a hole in it
        call static "tlsloop_conn_abort" using by value unsigned size 8 conn by value 0 0
    end-if
    goback.
end program on-data.

identification division.
program-id. on-drain.
data division.
linkage section.
01 conn                 binary-double unsigned.
procedure division using by value unsigned size 8 conn.
    call static "tlsloop_conn_resume" using by value unsigned size 8 conn by value 0 0
    goback.
end program on-drain.

identification division.
program-id. on-disconnect.
data division.
working-storage section.
01 name-at              pointer.
01 name                 pic x(32).
linkage section.
01 conn                 binary-double unsigned.
01 reason               binary-long.
01 c-text               pic x(32).
procedure division using by value unsigned size 8 conn by value reason.
    call static "tlsloop_reason_name" using by value reason 0 0 returning name-at
    set address of c-text to name-at
    move spaces to name
    string c-text delimited by low-value into name
    display "ended: " function trim(name)
    goback.
end program on-disconnect.
