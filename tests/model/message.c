/*
 * What the host sends: messages that say whose they are and which of his, filled with bytes that belong to nobody
 * else. What the peer sends: one endless pattern.
 */
#define _GNU_SOURCE
#include "model.h"

#include <string.h>

struct dice dice_for(uint64_t seed, uint64_t what)
{
    struct dice d = { seed * 0x9e3779b97f4a7c15ull ^ what * 0xd1342543de82ef95ull };
    dice_roll(&d);
    return d;
}

/* splitmix64 */
uint64_t dice_roll(struct dice *d)
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

unsigned dice_below(struct dice *d, unsigned n)
{
    return (unsigned)(dice_roll(d) >> 33) % n;
}

bool dice_one_in(struct dice *d, unsigned n)
{
    return dice_below(d, n) == 0;
}

size_t dice_size(struct dice *d)
{
    switch (dice_below(d, 8)) {
    case 0: return dice_below(d, 40000);
    case 1: case 2: return dice_below(d, 5000);
    default: return dice_below(d, 100);
    }
}

static unsigned char filling(int link, unsigned actor, unsigned number, size_t i)
{
    return (unsigned char)(0x80u | ((size_t)link * 29 + actor * 13 + number * 7 + i * 3 + (i >> 7)));
}

unsigned char pattern_byte(int link, unsigned long long position)
{
    return (unsigned char)(0x40u | ((position * 31 + (unsigned)link * 17 + (position >> 8)) & 0x3f));
}

size_t message_make(unsigned char *to, int link, enum actor actor, unsigned number, size_t len, bool go)
{
    uint32_t size = (uint32_t)len, which = number;
    to[0] = 'M';
    to[1] = (unsigned char)actor;
    to[2] = (unsigned char)link;
    to[3] = go;
    memcpy(to + 4, &size, 4);
    memcpy(to + 8, &which, 4);
    for (size_t i = 0; i < len; i++) to[MESSAGE_HEAD + i] = filling(link, actor, number, i);
    return MESSAGE_HEAD + len;
}

static const char *read_head(struct parser *p, int link)
{
    uint32_t size, number;
    memcpy(&size, p->head + 4, 4);
    memcpy(&number, p->head + 8, 4);
    if (p->head[0] != 'M' || p->head[1] >= ACTORS) return "bytes arrived that no send has made";
    if (p->head[2] != link) return "bytes of another connection arrived";
    if (number != p->numbers[p->head[1]]) return "a message is lost, doubled or out of order";
    p->len = MESSAGE_HEAD + size;
    p->go |= p->head[3];
    return NULL;
}

const char *message_parse(struct parser *p, int link, const unsigned char *data, size_t len, size_t *used)
{
    size_t i = 0;
    for (; i < len; i++) {
        if (p->have == 0 && data[i] == 0x16) break;
        if (p->have < MESSAGE_HEAD) {
            p->head[p->have++] = data[i];
            const char *wrong = p->have == MESSAGE_HEAD ? read_head(p, link) : NULL;
            if (wrong) return wrong;
        } else {
            uint32_t number = p->numbers[p->head[1]];
            if (data[i] != filling(link, p->head[1], number, p->have - MESSAGE_HEAD)) return "a byte has changed";
            p->have++;
        }
        if (p->have >= MESSAGE_HEAD && p->have == p->len) {
            p->numbers[p->head[1]]++;
            p->have = 0;
        }
    }
    p->bytes += i;
    *used = i;
    return NULL;
}
