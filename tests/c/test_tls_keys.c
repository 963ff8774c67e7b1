/*
 * Certificates and keys that cannot be used: "a key that does not fit its certificate, an unreadable file, an
 * encrypted key without password (never a prompt on the terminal): an error at once, from the call that named it."
 *
 * After each of them the policy is what it was before: it still serves with the certificate that it has.
 */
#define _GNU_SOURCE
#include "keys.h"
#include "policy.h"
#include "visitor.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Files with something wrong in them, and how that is told. */
struct fault {
    const char *chain, *key;
    int code;
    const char *named, *words; /* both stand in the sentence */
};

static void refused(tlsloop_tls *tls, struct fault fault)
{
    CHECK_FAILS(tlsloop_tls_add_certificate_file(tls, fault.chain, fault.key), fault.code, fault.named);
    CHECK_HAS(tlsloop_last_error(), fault.words);
}

/* The policy has this certificate and no other. */
static void still_serves(tlsloop_tls *tls, const struct identity *who)
{
    struct fixture *f = policy_serve(tls);
    struct peer p = visitor_settle(f->port, (struct visitor){ 0 });
    CHECK_SHOWN(&p, who);
    peer_leave(&p);
    fixture_stop(f);
}

/* "unreadable" also for root, to whom permissions mean nothing. */
static void become_nobody(void)
{
    if (geteuid() == 0) CHECK(seteuid(65534) == 0);
}

static void become_root_again(void)
{
    if (getuid() == 0) CHECK(seteuid(0) == 0);
}

static void missing_and_unreadable(void)
{
    struct identity good = keys_local();
    tlsloop_tls *tls = policy_of(&good);
    const char *secret = keys_file("secret.key", "", 0);
    CHECK(chmod(secret, 0) == 0 && chmod(keys_dir(), 0755) == 0);
    refused(tls, (struct fault){ "/nowhere/a.crt", good.key, TLSLOOP_ESYS, "/nowhere/a.crt",
                                 "No such file or directory" });
    refused(tls, (struct fault){ good.chain, "/nowhere/a.key", TLSLOOP_ESYS, "/nowhere/a.key",
                                 "No such file or directory" });
    refused(tls, (struct fault){ keys_dir(), good.key, TLSLOOP_ESYS, keys_dir(), "Is a directory" });
    refused(tls, (struct fault){ good.chain, keys_dir(), TLSLOOP_ESYS, keys_dir(), "Is a directory" });
    CHECK(chmod(good.chain, 0644) == 0);
    become_nobody();
    refused(tls, (struct fault){ good.chain, secret, TLSLOOP_ESYS, secret, "Permission denied" });
    refused(tls, (struct fault){ secret, good.key, TLSLOOP_ESYS, secret, "Permission denied" });
    become_root_again();
    still_serves(tls, &good);
}

static const char *part_of(const char *name, const char *path, unsigned long len)
{
    char text[4096];
    unsigned long all = keys_read(path, text, sizeof text);
    CHECK(len < all);
    return keys_file(name, text, len);
}

/* The text of the file with one character of its middle changed. */
static const char *damaged(const char *name, const char *path)
{
    char text[4096];
    unsigned long len = keys_read(path, text, sizeof text);
    text[len / 2] = text[len / 2] == 'A' ? 'B' : 'A';
    text[len / 2 + 1] = '!';
    return keys_file(name, text, len);
}

static void garbage_and_halves(void)
{
    unsigned char der[4096];
    struct identity good = keys_local();
    tlsloop_tls *tls = policy_of(&good);
    const char *empty = keys_file("empty.pem", "", 0);
    const char *rubbish = keys_file("rubbish.pem", "\1\2\3 not PEM \377\n", 15);
    const char *half_chain = part_of("half.crt", good.chain, 300), *half_key = part_of("half.key", good.key, 100);
    const char *bad_chain = damaged("bad.crt", good.chain), *bad_key = damaged("bad.key", good.key);
    const char *binary = keys_file("leaf.der", der, keys_der(&good, der, sizeof der));
    const struct fault faults[] = {
        { empty, good.key, TLSLOOP_ETLS, empty, "no certificate" },
        { good.chain, empty, TLSLOOP_ETLS, empty, "no private key" },
        { rubbish, good.key, TLSLOOP_ETLS, rubbish, "no certificate" },
        { good.chain, rubbish, TLSLOOP_ETLS, rubbish, "no private key" },
        { binary, good.key, TLSLOOP_ETLS, binary, "no certificate" },
        { half_chain, good.key, TLSLOOP_ETLS, half_chain, "certificate 1 is damaged" },
        { good.chain, half_key, TLSLOOP_ETLS, half_key, "no private key" },
        { bad_chain, good.key, TLSLOOP_ETLS, bad_chain, "certificate 1 is damaged" },
        { good.chain, bad_key, TLSLOOP_ETLS, bad_key, "no private key" },
        { good.key, good.key, TLSLOOP_ETLS, good.key, "no certificate" },
        { good.chain, good.chain, TLSLOOP_ETLS, good.chain, "no private key" },
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) refused(tls, faults[i]);
    still_serves(tls, &good);
}

/* The same from memory, where the argument is named. */
static void garbage_in_memory(void)
{
    char chain[4096], key[4096];
    struct identity good = keys_local(), other = keys_local();
    tlsloop_tls *tls = policy_of(&good);
    unsigned long chain_len = keys_read(good.chain, chain, sizeof chain);
    unsigned long key_len = keys_read(good.key, key, sizeof key);
    CHECK_FAILS(tlsloop_tls_add_certificate(tls, NULL, 0, key, key_len), TLSLOOP_EINVAL, "chain");
    CHECK_FAILS(tlsloop_tls_add_certificate(tls, chain, chain_len, NULL, 0), TLSLOOP_EINVAL, "key");
    CHECK_FAILS(tlsloop_tls_add_certificate(tls, chain, 0, key, key_len), TLSLOOP_EINVAL, "chain");
    CHECK_FAILS(tlsloop_tls_add_certificate(tls, chain, chain_len / 2, key, key_len), TLSLOOP_ETLS, "chain");
    CHECK_FAILS(tlsloop_tls_add_certificate(tls, chain, chain_len, key, key_len / 2), TLSLOOP_ETLS, "key");
    key_len = keys_read(other.key, key, sizeof key);
    CHECK_FAILS(tlsloop_tls_add_certificate(tls, chain, chain_len, key, key_len), TLSLOOP_ETLS,
                "do not belong together");
    still_serves(tls, &good);
}

/* L34: "or belongs to another key" */
static void l34_a_key_of_another(void)
{
    struct identity good = keys_local(), other = keys_local();
    struct identity rsa = keys_make((struct identity_spec){ .kind = KEYS_RSA });
    tlsloop_tls *tls = policy_of(&good);
    refused(tls, (struct fault){ good.chain, other.key, TLSLOOP_ETLS, good.chain, other.key });
    CHECK_HAS(tlsloop_last_error(), "do not belong together");
    refused(tls, (struct fault){ good.chain, rsa.key, TLSLOOP_ETLS, rsa.key, "do not belong together" });
    still_serves(tls, &good);
}

/* Of a chain in the wrong order the first certificate counts, and the key is not its. */
static void a_chain_upside_down(void)
{
    char text[8192];
    struct identity root = keys_make((struct identity_spec){ 0 });
    struct identity leaf = keys_make((struct identity_spec){ .names = "DNS:localhost", .issuer = &root });
    unsigned long len = keys_read(root.chain, text, sizeof text);
    len += keys_read(leaf.chain, text + len, sizeof text - len);
    const char *path = keys_file("upside-down.crt", text, len);
    tlsloop_tls *tls = policy_of(&leaf);
    refused(tls, (struct fault){ path, leaf.key, TLSLOOP_ETLS, path, "do not belong together" });
    still_serves(tls, &leaf);
}

static void keys_that_cannot_serve(void)
{
    struct identity good = keys_local();
    struct identity weak = keys_make((struct identity_spec){ .kind = KEYS_RSA_WEAK });
    struct identity only_agrees = keys_local();
    tlsloop_tls *tls = policy_of(&good);
    refused(tls, (struct fault){ weak.chain, weak.key, TLSLOOP_ETLS, weak.chain, "too small" });
    /* A key of X25519 cannot sign, not even a certificate for itself; it is refused before it is compared. */
    const char *path = keys_x25519();
    refused(tls, (struct fault){ only_agrees.chain, path, TLSLOOP_ETLS, path, "cannot sign" });
    still_serves(tls, &good);
}

static void encrypted_keys(void)
{
    struct identity good = keys_local();
    struct identity locked = keys_make((struct identity_spec){ .names = "DNS:locked", .password = "Sesam" });
    tlsloop_tls *tls = policy_of(&good);
    refused(tls, (struct fault){ locked.chain, locked.key, TLSLOOP_ETLS, locked.key, "no password was set" });
    CHECK_OK(tlsloop_tls_set_key_password(tls, "wrong"));
    refused(tls, (struct fault){ locked.chain, locked.key, TLSLOOP_ETLS, locked.key, "the password does not open" });
    CHECK(strstr(tlsloop_last_error(), "wrong password") == NULL && !strstr(tlsloop_last_error(), "Sesam"));
    CHECK_OK(tlsloop_tls_set_key_password(tls, ""));
    refused(tls, (struct fault){ locked.chain, locked.key, TLSLOOP_ETLS, locked.key, "the password does not open" });
    CHECK_OK(tlsloop_tls_set_key_password(tls, "Sesam"));
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, locked.chain, locked.key));
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, good.chain, good.key)); /* it needs none, and takes no harm */
    CHECK_OK(tlsloop_tls_set_key_password(tls, NULL));
    refused(tls, (struct fault){ locked.chain, locked.key, TLSLOOP_ETLS, locked.key, "no password was set" });
    struct fixture *f = policy_serve(tls);
    struct peer p = visitor_settle(f->port, (struct visitor){ .server_name = "locked" });
    CHECK_SHOWN(&p, &locked);
    peer_leave(&p);
    fixture_stop(f);
}

static void a_password_has_1024_bytes(void)
{
    static char longest[1026];
    memset(longest, 'x', sizeof longest - 1);
    tlsloop_tls *tls = policy_new();
    CHECK_FAILS(tlsloop_tls_set_key_password(tls, longest), TLSLOOP_EINVAL, "1024");
    longest[1024] = 0;
    CHECK_OK(tlsloop_tls_set_key_password(tls, longest));
    /* OpenSSL's PKCS #8 writer takes 1024, its reader, too. */
    struct identity locked = keys_make((struct identity_spec){ .password = longest });
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, locked.chain, locked.key));
    tlsloop_tls_free(tls);
}

/* Gives this process a terminal of its own; the other end of it. */
static int take_a_terminal(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    if (setsid() < 0) check_skip("the leader of a process group can have no terminal of its own");
    int own = open(ptsname(master), O_RDWR | O_CLOEXEC);
    CHECK(own >= 0);
    CHECK(ioctl(own, TIOCSCTTY, 0) == 0);
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC); /* what OpenSSL's prompt would open */
    CHECK(tty >= 0 && close(tty) == 0);
    return master;
}

static const char *encrypted_certificate(const struct identity *who)
{
    static const char head[] = "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n"
                               "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n";
    char text[8192];
    unsigned long len = keys_read(who->chain, text + sizeof head, sizeof text - sizeof head);
    char *body = strchr(text + sizeof head, '\n') + 1;
    unsigned long rest = len - (unsigned long)(body - (text + sizeof head));
    memmove(text + sizeof head - 1, body, rest);
    memcpy(text, head, sizeof head - 1);
    return keys_file("encrypted.crt", text, sizeof head - 1 + rest);
}

/* L38: "given an encrypted key without a password, it fails with a sentence and never reads the terminal" */
static void l38_nobody_is_asked(void)
{
    struct identity good = keys_local();
    struct identity locked = keys_make((struct identity_spec){ .password = "Sesam" });
    struct identity old = keys_make((struct identity_spec){ .password = "Sesam", .old_format = 1 });
    const char *strange = encrypted_certificate(&good);
    int terminal = take_a_terminal();
    CHECK(write(terminal, "Sesam\n", 6) == 6); /* for who asks */
    tlsloop_tls *tls = policy_of(&good);
    refused(tls, (struct fault){ locked.chain, locked.key, TLSLOOP_ETLS, locked.key, "no password was set" });
    refused(tls, (struct fault){ old.chain, old.key, TLSLOOP_ETLS, old.key, "no password was set" });
    refused(tls, (struct fault){ strange, good.key, TLSLOOP_ETLS, strange, "damaged" });
    CHECK_FAILS(tlsloop_tls_set_trust_file(tls, strange), TLSLOOP_ETLS, strange);
    CHECK_FAILS(tlsloop_tls_set_crl_file(tls, strange), TLSLOOP_ETLS, strange);
    CHECK_OK(tlsloop_tls_set_key_password(tls, "wrong"));
    refused(tls, (struct fault){ locked.chain, locked.key, TLSLOOP_ETLS, locked.key, "the password does not open" });
    refused(tls, (struct fault){ old.chain, old.key, TLSLOOP_ETLS, old.key, "the password does not open" });
    char shown[256];
    /* The terminal echoes what was typed, and nothing else appears on it. */
    ssize_t n = read(terminal, shown, sizeof shown);
    CHECK(n == 7 && memcmp(shown, "Sesam\r\n", 7) == 0);
    struct pollfd more = { .fd = terminal, .events = POLLIN };
    CHECK_EQ(poll(&more, 1, 0), 0);
    still_serves(tls, &good);
}

CHECK_MAIN(CASE(missing_and_unreadable), CASE(garbage_and_halves), CASE(garbage_in_memory),
           CASE(l34_a_key_of_another), CASE(a_chain_upside_down), CASE(keys_that_cannot_serve),
           CASE(encrypted_keys), CASE(a_password_has_1024_bytes), CASE(l38_nobody_is_asked))
