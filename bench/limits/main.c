/* What the TLS library and the kernel themselves cost here, in one process. "us" is a median, "low_us" the tenth
 * percentile: what the machine does when nobody else uses it. */
#include "limits.h"

#include <stdio.h>
#include <string.h>

static int is(const char *asked, const char *name) { return strcmp(asked, "all") == 0 || strcmp(asked, name) == 0; }

int main(int argc, char **argv)
{
    if (argc != 4 && argc != 6) {
        fputs("use: limits calibrate|handshakes|records|memory|kernel|all CERTIFICATE KEY [RSA-CERTIFICATE RSA-KEY]\n",
              stderr);
        return 2;
    }
    struct pair_settings ecdsa = {.certificate = argv[2], .key = argv[3], .tickets = -1}, rsa = ecdsa;
    if (argc == 6) rsa.certificate = argv[4], rsa.key = argv[5];
    if (is(argv[1], "calibrate")) limit_calibrate(&ecdsa);
    if (is(argv[1], "handshakes")) limit_handshakes(&ecdsa, &rsa);
    if (is(argv[1], "records")) limit_records(&ecdsa);
    if (is(argv[1], "memory")) limit_memory(&ecdsa);
    if (is(argv[1], "kernel")) limit_kernel();
    return 0;
}
