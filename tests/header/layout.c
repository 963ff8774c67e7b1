/* The ABI of release 0.1, written down once more by hand: numbers, sizes and offsets on a machine with
 * pointers of 64 bits. It fails to compile if one of them moves. New members and numbers are added at
 * the ends; a line that is here already is never changed. */

#include "tlsloop.h"

#define JOINED(a, b) a##b
#define NAMED(line) JOINED(holds_in_line_, line)
#define HOLDS(condition) typedef char NAMED(__LINE__)[(condition) ? 1 : -1]

HOLDS(sizeof(void *) == 8 && sizeof(size_t) == 8);
HOLDS(sizeof(tlsloop_conn) == 8 && (tlsloop_conn)-1 > 0);

HOLDS(TLSLOOP_OK == 0 && TLSLOOP_EINVAL == -1 && TLSLOOP_ENOMEM == -2 && TLSLOOP_ESYS == -3);
HOLDS(TLSLOOP_ETLS == -4 && TLSLOOP_EVERIFY == -5 && TLSLOOP_ECLOSED == -6 && TLSLOOP_EFULL == -7);
HOLDS(TLSLOOP_ETIMEDOUT == -8 && TLSLOOP_ETRUNCATED == -9 && TLSLOOP_EDEADLK == -10);
HOLDS(TLSLOOP_ESTATE == -11 && TLSLOOP_EINTERNAL == -12);

HOLDS(TLSLOOP_REASON_PEER == 0 && TLSLOOP_REASON_HOST == 1 && TLSLOOP_REASON_TRUNCATED == 2);
HOLDS(TLSLOOP_REASON_RESET == 3 && TLSLOOP_REASON_PROTOCOL == 4 && TLSLOOP_REASON_IDLE_TIMEOUT == 5);
HOLDS(TLSLOOP_REASON_SEND_TIMEOUT == 6 && TLSLOOP_REASON_STOPPED == 7 && TLSLOOP_REASON_ABORTED == 8);
HOLDS(TLSLOOP_REASON_SYSTEM == 9);

HOLDS(TLSLOOP_MODE_TLS == 0 && TLSLOOP_MODE_PLAIN == 1 && TLSLOOP_MODE_STARTTLS == 2);
HOLDS(TLSLOOP_MODE_DETECT == 3);
HOLDS(TLSLOOP_VERIFY_DEFAULT == 0 && TLSLOOP_VERIFY_NONE == 1 && TLSLOOP_VERIFY_OPTIONAL == 2);
HOLDS(TLSLOOP_VERIFY_REQUIRED == 3);
HOLDS(TLSLOOP_PROXY_OFF == 0 && TLSLOOP_PROXY_REQUIRED == 1);
HOLDS(TLSLOOP_TLS1_2 == 0x0303 && TLSLOOP_TLS1_3 == 0x0304);
HOLDS(TLSLOOP_LOG_ERROR == 1 && TLSLOOP_LOG_WARN == 2 && TLSLOOP_LOG_INFO == 3 && TLSLOOP_LOG_DEBUG == 4);
HOLDS(TLSLOOP_NONE == ~0u && TLSLOOP_HOST_DRIVEN == ~0u && TLSLOOP_PER_CPU == ~0u - 1u);
HOLDS(TLSLOOP_NONE > 0 && TLSLOOP_PER_CPU > 0 && TLSLOOP_NO_LISTENER == -1);

#define AT(type, member, offset) HOLDS(offsetof(type, member) == (offset))

AT(tlsloop_slice, data, 0);
AT(tlsloop_slice, len, 8);
HOLDS(sizeof(tlsloop_slice) == 16);

AT(tlsloop_callbacks, size, 0);
AT(tlsloop_callbacks, on_connect, 8);
AT(tlsloop_callbacks, on_data, 16);
AT(tlsloop_callbacks, on_drain, 24);
AT(tlsloop_callbacks, on_end, 32);
AT(tlsloop_callbacks, on_disconnect, 40);
AT(tlsloop_callbacks, on_accept, 48);
AT(tlsloop_callbacks, on_tls, 56);
AT(tlsloop_callbacks, on_handshake_failed, 64);
AT(tlsloop_callbacks, on_log, 72);
AT(tlsloop_callbacks, on_worker_start, 80);
AT(tlsloop_callbacks, on_worker_stop, 88);
HOLDS(sizeof(tlsloop_callbacks) >= 96);

AT(tlsloop_server_config, size, 0);
AT(tlsloop_server_config, address, 8);
AT(tlsloop_server_config, listen_fd, 16);
AT(tlsloop_server_config, mode, 20);
AT(tlsloop_server_config, port, 24);
AT(tlsloop_server_config, tls, 32);
AT(tlsloop_server_config, callbacks, 40);
AT(tlsloop_server_config, user, 48);
AT(tlsloop_server_config, workers, 56);
AT(tlsloop_server_config, max_connections, 60);
AT(tlsloop_server_config, max_handshakes, 64);
AT(tlsloop_server_config, max_connections_per_ip, 68);
AT(tlsloop_server_config, handshake_timeout_ms, 72);
AT(tlsloop_server_config, idle_timeout_ms, 76);
AT(tlsloop_server_config, send_timeout_ms, 80);
AT(tlsloop_server_config, close_timeout_ms, 84);
AT(tlsloop_server_config, send_high_water, 88);
AT(tlsloop_server_config, send_low_water, 96);
AT(tlsloop_server_config, backlog, 104);
AT(tlsloop_server_config, log_level, 108);
AT(tlsloop_server_config, proxy_protocol, 112);
AT(tlsloop_server_config, proxy_trusted, 120);
HOLDS(sizeof(tlsloop_server_config) >= 128);

AT(tlsloop_stats, size, 0);
AT(tlsloop_stats, accepted, 8);
AT(tlsloop_stats, refused_callback, 16);
AT(tlsloop_stats, refused_limit, 24);
AT(tlsloop_stats, refused_per_ip, 32);
AT(tlsloop_stats, refused_descriptors, 40);
AT(tlsloop_stats, refused_proxy, 48);
AT(tlsloop_stats, handshakes, 56);
AT(tlsloop_stats, handshakes_failed, 64);
AT(tlsloop_stats, handshakes_resumed, 72);
AT(tlsloop_stats, connects, 80);
AT(tlsloop_stats, disconnects, 88);
AT(tlsloop_stats, disconnects_by_reason, 96);
AT(tlsloop_stats, bytes_in, 224);
AT(tlsloop_stats, bytes_out, 232);
AT(tlsloop_stats, sends_refused, 240);
AT(tlsloop_stats, open, 248);
AT(tlsloop_stats, handshaking, 256);
AT(tlsloop_stats, queued_bytes, 264);
HOLDS(sizeof(tlsloop_stats) >= 272);

AT(tlsloop_client_config, size, 0);
AT(tlsloop_client_config, host, 8);
AT(tlsloop_client_config, server_name, 16);
AT(tlsloop_client_config, tls, 24);
AT(tlsloop_client_config, data, 32);
AT(tlsloop_client_config, mode, 40);
AT(tlsloop_client_config, port, 44);
AT(tlsloop_client_config, connect_timeout_ms, 48);
AT(tlsloop_client_config, io_timeout_ms, 52);
HOLDS(sizeof(tlsloop_client_config) >= 56);

AT(tlsloop_info, size, 0);
AT(tlsloop_info, peer, 8);
AT(tlsloop_info, local, 136);
AT(tlsloop_info, balancer, 264);
AT(tlsloop_info, version, 392);
AT(tlsloop_info, cipher, 408);
AT(tlsloop_info, group, 472);
AT(tlsloop_info, alpn, 536);
AT(tlsloop_info, sni, 600);
AT(tlsloop_info, subject, 856);
AT(tlsloop_info, issuer, 1368);
AT(tlsloop_info, san, 1880);
AT(tlsloop_info, sha256, 3928);
AT(tlsloop_info, is_tls, 3996);
AT(tlsloop_info, is_resumed, 4000);
AT(tlsloop_info, has_certificate, 4004);
AT(tlsloop_info, verify_result, 4008);
AT(tlsloop_info, san_truncated, 4012);
AT(tlsloop_info, peer_pid, 4016);
AT(tlsloop_info, peer_uid, 4020);
AT(tlsloop_info, bytes_in, 4024);
AT(tlsloop_info, bytes_out, 4032);
AT(tlsloop_info, age_ms, 4040);
HOLDS(sizeof(tlsloop_info) >= 4048);
