#define _GNU_SOURCE
#include "header.h"

#include "check.h"

#include <arpa/inet.h>
#include <string.h>

static void append(struct header *h, const void *bytes, size_t len)
{
    CHECK(h->len + len <= sizeof h->bytes);
    memcpy(h->bytes + h->len, bytes, len);
    h->len += len;
}

static void append_port(struct header *h, unsigned port)
{
    unsigned char bytes[2] = { (unsigned char)(port >> 8), (unsigned char)port };
    append(h, bytes, 2);
}

static void append_address(struct header *h, int family, const char *text)
{
    unsigned char address[16];
    CHECK(inet_pton(family, text, address) == 1);
    append(h, address, family == AF_INET ? 4 : 16);
}

/* The length of what follows the fixed 16 bytes stands in the last two of them. */
static void note_length(struct header *h)
{
    size_t len = h->len - 16;
    CHECK(len <= 65535);
    h->bytes[14] = (unsigned char)(len >> 8);
    h->bytes[15] = (unsigned char)len;
}

void header_v1(struct header *h, const char *line)
{
    h->len = 0;
    append(h, line, strlen(line));
}

void header_v2(struct header *h, int command, int family)
{
    char paths[2][108] = { "/client", "/balancer" };
    unsigned char fixed[16] = "\r\n\r\n\0\r\nQUIT\n";
    fixed[12] = (unsigned char)command;
    fixed[13] = (unsigned char)family;
    h->len = 0;
    append(h, fixed, sizeof fixed);
    if (family == HEADER_TCP4 || family == HEADER_TCP6) {
        bool is_v4 = family == HEADER_TCP4;
        append_address(h, is_v4 ? AF_INET : AF_INET6, is_v4 ? "192.0.2.7" : "2001:db8::7");
        append_address(h, is_v4 ? AF_INET : AF_INET6, is_v4 ? "198.51.100.1" : "2001:db8::1");
        append_port(h, 5123);
        append_port(h, 443);
    }
    if (family == HEADER_UNIX) append(h, paths, sizeof paths);
    note_length(h);
}

void header_tlv(struct header *h, int type, const void *value, size_t len)
{
    unsigned char head[3] = { (unsigned char)type, (unsigned char)(len >> 8), (unsigned char)len };
    append(h, head, sizeof head);
    append(h, value, len);
    note_length(h);
}

/* CRC-32C (RFC 3720, appendix B.4), bit by bit. */
static uint32_t crc32c(const unsigned char *bytes, size_t len)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

void header_checksum(struct header *h, bool right)
{
    header_tlv(h, 3, "\0\0\0\0", 4); /* it is counted as zero itself */
    uint32_t sum = crc32c(h->bytes, h->len) + !right;
    for (int i = 0; i < 4; i++) h->bytes[h->len - 4 + (size_t)i] = (unsigned char)(sum >> (24 - 8 * i));
}
