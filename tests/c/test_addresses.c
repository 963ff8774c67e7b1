/* Where a server listens: IPv4, IPv6, both by one socket, names, the port of the system's choice. */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "peer.h"
#include "stage.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool without_six; /* the kernel has no IPv6 */

/* socket(2) of the whole program. */
int socket(int family, int type, int protocol)
{
    if (without_six && family == AF_INET6) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    return (int)syscall(SYS_socket, family, type, protocol);
}

static void six_or_skip(void)
{
    struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0) check_skip("no IPv6 here");
    close(fd);
}

static struct fixture *at(const char *address)
{
    struct fixture *f = stage_start((struct options){
        .config = { .address = address, .mode = TLSLOOP_MODE_PLAIN } }, NULL);
    CHECK(f->port > 0 && f->port < 65536); /* "0: the system picks" */
    return f;
}

static unsigned served; /* by the server at hand */

/* Served over IPv4, under the address that the client has for itself and the server. */
static void check_four(struct fixture *f)
{
    char text[64];
    tlsloop_info info = TLSLOOP_INFO_INIT;
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, "four", 4) && dial_expect(fd, "four"));
    CHECK_OK(tlsloop_conn_info(fixture_conn(f, served++), &info));
    dial_name(fd, text, sizeof text);
    CHECK_STR(info.peer, text); /* 127.0.0.1 and no ::ffff: also behind a dual-stack listener */
    snprintf(text, sizeof text, "127.0.0.1:%d", f->port);
    CHECK_STR(info.local, text);
    close(fd);
    EVENTUALLY_EQ(f->disconnects, served);
}

static void check_six(struct fixture *f)
{
    char text[64];
    tlsloop_info info = TLSLOOP_INFO_INIT;
    struct sockaddr_in6 own;
    socklen_t len = sizeof own;
    int fd = dial_six(f->port);
    CHECK(fd >= 0);
    CHECK(tcp_send(fd, "six", 3) && dial_expect(fd, "six"));
    CHECK_OK(tlsloop_conn_info(fixture_conn(f, served++), &info));
    CHECK(getsockname(fd, (struct sockaddr *)&own, &len) == 0);
    snprintf(text, sizeof text, "[::1]:%d", ntohs(own.sin6_port));
    CHECK_STR(info.peer, text);
    snprintf(text, sizeof text, "[::1]:%d", f->port);
    CHECK_STR(info.local, text);
    close(fd);
    EVENTUALLY_EQ(f->disconnects, served);
}

static void listens(const char *address, bool four, bool six)
{
    struct fixture *f = at(address);
    served = 0;
    if (four) check_four(f);
    else CHECK(tcp_try_connect(f->port) < 0);
    if (six) check_six(f);
    else CHECK(dial_six(f->port) < 0);
    fixture_stop(f);
}

/* "NULL: "::" dual-stack"; "each of IPv4, IPv6 and dual stack" */
static void families(void)
{
    listens("127.0.0.1", true, false);
    listens("0.0.0.0", true, false);
    six_or_skip();
    listens(stage_everywhere, true, true);
    listens("::", true, true);
    listens("[::]", true, true);
    listens("::1", false, true);
    listens("[::1]", false, true);
}

/* "or 0.0.0.0", where the kernel has no IPv6. */
static void without_ipv6(void)
{
    without_six = true;
    listens(stage_everywhere, true, false);
    tlsloop_server_config config = { .address = "::1", .mode = TLSLOOP_MODE_PLAIN };
    CHECK_FAILS(stage_refused(config), TLSLOOP_ESYS, "::1");
}

/* "A name with several addresses: the first" */
static void names(void)
{
    struct fixture *f = at("localhost");
    int four = tcp_try_connect(f->port), six = dial_six(f->port);
    CHECK((four >= 0) != (six >= 0));
    close(four >= 0 ? four : six);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
    static const char *const wrong[] = { "no-such-name.invalid", "127.0.0.1:443", "256.0.0.1", "", " ", "[::1", "/run/x.sock" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        tlsloop_server_config config = { .address = wrong[i], .mode = TLSLOOP_MODE_PLAIN };
        int code = stage_refused(config);
        CHECK(code == TLSLOOP_ESYS || code == TLSLOOP_EINVAL);
        CHECK_HAS(tlsloop_last_error(), wrong[i]);
    }
}

/* "several ports: several servers"; and one address does not take another's port. */
static void several_servers(void)
{
    struct fixture *first = at("127.0.0.1"), *second = at("127.0.0.1");
    CHECK(first->port != second->port);
    served = 0;
    check_four(first);
    served = 0;
    check_four(second);
    struct fixture *other = stage_start((struct options){ .config = {
        .address = "127.0.0.2", .port = (uint16_t)first->port, .mode = TLSLOOP_MODE_PLAIN } }, NULL);
    CHECK_EQ(other->port, first->port);
    int fd = tcp_connect(first->port);
    EVENTUALLY_EQ(first->connects, 2);
    close(fd);
    EVENTUALLY_EQ(first->disconnects, 2);
    CHECK_EQ(other->connects, 0);
    fixture_stop(other);
    fixture_stop(second);
    fixture_stop(first);
}

/* "SO_REUSEPORT off": nobody listens beside a server. But whoever starts anew gets its port at once, although
 * connections of before have not been forgotten by the kernel. */
static void the_same_port_again(void)
{
    struct fixture *f = at("127.0.0.1");
    int port = f->port;
    tlsloop_server_config config = { .address = "127.0.0.1", .port = (uint16_t)port, .mode = TLSLOOP_MODE_PLAIN };
    CHECK_FAILS(stage_refused(config), TLSLOOP_ESYS, "in use");
    for (int i = 0; i < 3; i++) {
        int fd = tcp_connect(port);
        CHECK_OK(tlsloop_conn_close(fixture_conn(f, 0))); /* who ends first has it in TIME_WAIT */
        CHECK_EQ(tcp_until_end(fd), PEER_FIN);
        close(fd);
        EVENTUALLY_EQ(f->disconnects, 1);
        fixture_stop(f);
        f = stage_start((struct options){ .config = config }, NULL);
        CHECK_EQ(f->port, port);
    }
    fixture_stop(f);
}

CHECK_MAIN(CASE(families), CASE(without_ipv6), CASE(names), CASE(several_servers), CASE(the_same_port_again))
