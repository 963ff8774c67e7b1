#include "pattern.h"

#include "basics.h"
#include "options.h"

#include <stdlib.h>
#include <string.h>

#define PERIOD 65521u /* a prime: no power of two, such as a record or a buffer, is a multiple */

static unsigned char *bytes;

void pattern_make(void)
{
    uint64_t x = 88172645463325252u;

    bytes = malloc(PERIOD + MAX_MESSAGE);
    if (bytes == NULL) die("out of memory");
    for (unsigned i = 0; i < PERIOD; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes[i] = (unsigned char)(x >> 24);
    }
    for (unsigned i = 0; i < MAX_MESSAGE; i++) bytes[PERIOD + i] = bytes[i % PERIOD];
}

const unsigned char *pattern_at(uint64_t connection, uint64_t position)
{
    return bytes + (position + connection * 7919u) % PERIOD;
}
