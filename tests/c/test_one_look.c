/* What one read does not show: data behind it, and ends that come with it. No other packet comes to tell. */
#define _GNU_SOURCE
#include "dial.h"
#include "keys.h"
#include "stage.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static atomic_bool all_is_sent;

static void wait_until_all_is_sent(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    (void)conn;
    EVENTUALLY(all_is_sent);
}

/* Waits before it reads, so that all that the peer sends lies in the kernel by then. */
static struct fixture *start_late(const char *address)
{
    all_is_sent = false;
    return stage_start((struct options){
        .on.connect = wait_until_all_is_sent,
        .config = { .mode = TLSLOOP_MODE_PLAIN, .address = address } }, NULL);
}

static void all_comes_without_another_packet(struct fixture *f, int fd)
{
    all_is_sent = true;
    CHECK(dial_expect(fd, "before behind"));
    close(fd);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

/* "If the urgent byte is met, recv gives what stands before it": a short read that is not the last one. */
static void urgent_data_ends_a_read_early(void)
{
    struct fixture *f = start_late(NULL);
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, "before ", 7));
    CHECK(send(fd, "!", 1, MSG_OOB) == 1);
    CHECK(tcp_send(fd, "behind", 6));
    all_comes_without_another_packet(f, fd);
}

/* So does a message that a descriptor comes with. */
static void a_descriptor_ends_a_read_early(void)
{
    char address[256], room[CMSG_SPACE(sizeof(int))] = { 0 };
    snprintf(address, sizeof address, "unix:%s/short", keys_dir());
    struct fixture *f = start_late(address);
    int fd = dial_unix(address + strlen("unix:"));
    struct iovec bytes = { .iov_base = (char[]){ "before " }, .iov_len = 7 };
    struct msghdr message = { .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = room,
                              .msg_controllen = sizeof room };
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    *rights = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
                                .cmsg_len = CMSG_LEN(sizeof(int)) };
    memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    CHECK(sendmsg(fd, &message, MSG_NOSIGNAL) == 7);
    CHECK(tcp_send(fd, "behind", 6));
    all_comes_without_another_packet(f, fd);
}

static void pause_in_data(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)data;
    (void)len;
    CHECK_OK(tlsloop_conn_pause(conn));
}

/* "reset … comes at once", also if it had come before the host paused, with the data that made it pause. */
static void a_reset_comes_with_the_data(void)
{
    all_is_sent = false;
    struct fixture *f = stage_start((struct options){
        .on = { .connect = wait_until_all_is_sent, .data = pause_in_data },
        .config.mode = TLSLOOP_MODE_PLAIN }, NULL);
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, "pause", 5));
    tcp_reset(fd);
    all_is_sent = true;
    EVENTUALLY_EQ(f->disconnects, 1);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_RESET], 1);
    CHECK_EQ(f->bytes, 5);
    fixture_stop(f);
}

static void start_tls(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, data, len));
    CHECK_OK(tlsloop_conn_start_tls(conn));
}

/* The peer asks for TLS and leaves, in one go: that is seen at once, and not when the time is up. */
static void the_end_comes_with_the_command(void)
{
    struct fixture *f = stage_start((struct options){
        .on.data = start_tls,
        .config = { .mode = TLSLOOP_MODE_STARTTLS, .handshake_timeout_ms = TLSLOOP_NONE } }, NULL);
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, "begin", 5));
    tcp_fin(fd);
    CHECK(dial_expect(fd, "begin"));
    EVENTUALLY_EQ(f->disconnects, 1);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_TRUNCATED], 1);
    close(fd);
    fixture_stop(f);
}

CHECK_MAIN(CASE(urgent_data_ends_a_read_early), CASE(a_descriptor_ends_a_read_early),
           CASE(a_reset_comes_with_the_data), CASE(the_end_comes_with_the_command))
