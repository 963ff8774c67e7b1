      *> The structs of tlsloop.h that a server in COBOL fills or reads, member for member, for a machine of 64 bits.
      *> Set the three sizes by LENGTH OF; MOVE LOW-VALUES gives every other member its default.
       >>SOURCE FORMAT IS FREE
78 tlsloop-per-cpu              value 4294967294.   *> of workers
78 tlsloop-host-driven          value 4294967295.
01 tlsloop-callbacks.                               *> any may be NULL
   05 callbacks-size            binary-double unsigned.
   05 on-connect                procedure-pointer.
   05 on-data                   procedure-pointer.
   05 on-drain                  procedure-pointer.
   05 on-end                    procedure-pointer.
   05 on-disconnect             procedure-pointer.
   05 on-accept                 procedure-pointer.
   05 on-tls                    procedure-pointer.
   05 on-handshake-failed       procedure-pointer.
   05 on-log                    procedure-pointer.
   05 on-worker-start           procedure-pointer.
   05 on-worker-stop            procedure-pointer.
01 tlsloop-server-config.
   05 config-size               binary-double unsigned.
   05 listen-address            pointer.            *> NULL: all of this machine
   05 listen-fd                 binary-long.
   05 connection-mode           binary-long.
   05 port                      binary-short unsigned.
   05 filler                    pic x(6).           *> alignment
   05 tls                       pointer.
   05 callbacks-at              pointer.
   05 user-data                 pointer.
   05 workers                   binary-long unsigned.
   05 max-connections           binary-long unsigned.
   05 max-handshakes            binary-long unsigned.
   05 max-connections-per-ip    binary-long unsigned.
   05 handshake-timeout-ms      binary-long unsigned.
   05 idle-timeout-ms           binary-long unsigned.
   05 send-timeout-ms           binary-long unsigned.
   05 close-timeout-ms          binary-long unsigned.
   05 send-high-water           binary-double unsigned.
   05 send-low-water            binary-double unsigned.
   05 backlog                   binary-long.
   05 log-level                 binary-long.
   05 proxy-protocol            binary-long.
   05 filler                    pic x(4).           *> alignment
   05 proxy-trusted             pointer.
01 tlsloop-stats.
   05 stats-size                binary-double unsigned.
   05 accepted                  binary-double unsigned.
   05 refused-callback          binary-double unsigned.
   05 refused-limit             binary-double unsigned.
   05 refused-per-ip            binary-double unsigned.
   05 refused-descriptors       binary-double unsigned.
   05 refused-proxy             binary-double unsigned.
   05 handshakes                binary-double unsigned.
   05 handshakes-failed         binary-double unsigned.
   05 handshakes-resumed        binary-double unsigned.
   05 connects                  binary-double unsigned.
   05 disconnects               binary-double unsigned.
   05 disconnects-by-reason     binary-double unsigned occurs 16.   *> reason 0 is the first
   05 bytes-in                  binary-double unsigned.
   05 bytes-out                 binary-double unsigned.
   05 sends-refused             binary-double unsigned.
   05 open-now                  binary-double unsigned.
   05 handshaking               binary-double unsigned.
   05 queued-bytes              binary-double unsigned.
