/* PROXY headers as balancers write them (HAProxy's proxy-protocol.txt, versions 1 and 2). */
#ifndef HEADER_H
#define HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HEADER_LOCAL = 0x20, HEADER_PROXY = 0x21 };
enum { HEADER_UNSPEC = 0x00, HEADER_TCP4 = 0x11, HEADER_TCP6 = 0x21, HEADER_UNIX = 0x31 };

/* A header under way; longest: 16 + 65,535 bytes. */
struct header {
    unsigned char bytes[16 + 65535];
    size_t len;
};

/* Version 1: the text as it is, "PROXY TCP4 192.0.2.7 198.51.100.1 5123 443\r\n". */
void header_v1(struct header *h, const char *line);

/* Version 2, with the addresses 192.0.2.7:5123 or [2001:db8::7]:5123 for the client, or the unix path
 * "/client"; nothing for UNSPEC. */
void header_v2(struct header *h, int command, int family);

/* Adds a TLV and keeps the length of the header right. */
void header_tlv(struct header *h, int type, const void *value, size_t len);

/* Adds the checksum, right or wrong; nothing may be added behind it. */
void header_checksum(struct header *h, bool right);

#endif
