#include "options.h"

#include "basics.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "use: load handshake|echo|bulk|idle|mixed --port N [options]\n"
    "  --host A           127.0.0.1; --sources N spreads connections over 127.0.0.1 and the next N-1 addresses\n"
    "  --connections N    open at once (handshake: under way at once); --threads N\n"
    "  --total N          operations (handshakes, messages), or --seconds S; --warmup S before the latter\n"
    "  --size N --depth N bytes of a message, messages under way on one connection; --bytes N: bulk, each connection\n"
    "  --resume           handshake: with a ticket; --close clean|fast|reset\n"
    "  --touch --hold S   idle: echo one message first; how long to stay\n"
    "  --rate N           mixed: messages a second; --storm full|hello, --storm-width N beside it\n"
    "  --plain, --tls12, --suites LIST, --timeout S, --label TEXT, --server-pid P[,P...]\n";

struct options options = {.host = "127.0.0.1", .label = "", .threads = 1, .sources = 8, .size = 64, .depth = 1,
    .warmup = 0.5, .timeout = 10, .rate = 2000, .storm_width = 64};

const char *const mode_names[] = {"handshake", "echo", "bulk", "idle", "mixed"};

enum {
    HOST = 1, PORT, SOURCES, CONNECTIONS, THREADS, TOTAL, SECONDS, WARMUP, SIZE, DEPTH, BYTES, RESUME, CLOSE, TOUCH,
    HOLD, RATE, STORM, STORM_WIDTH, PLAIN, TLS12, SUITES, TIMEOUT, LABEL, SERVER_PID
};

static const struct option long_options[] = {
    {"host", 1, NULL, HOST}, {"port", 1, NULL, PORT}, {"sources", 1, NULL, SOURCES},
    {"connections", 1, NULL, CONNECTIONS}, {"threads", 1, NULL, THREADS}, {"total", 1, NULL, TOTAL},
    {"seconds", 1, NULL, SECONDS}, {"warmup", 1, NULL, WARMUP}, {"size", 1, NULL, SIZE}, {"depth", 1, NULL, DEPTH},
    {"bytes", 1, NULL, BYTES}, {"resume", 0, NULL, RESUME}, {"close", 1, NULL, CLOSE}, {"touch", 0, NULL, TOUCH},
    {"hold", 1, NULL, HOLD}, {"rate", 1, NULL, RATE}, {"storm", 1, NULL, STORM},
    {"storm-width", 1, NULL, STORM_WIDTH}, {"plain", 0, NULL, PLAIN}, {"tls12", 0, NULL, TLS12},
    {"suites", 1, NULL, SUITES}, {"timeout", 1, NULL, TIMEOUT}, {"label", 1, NULL, LABEL},
    {"server-pid", 1, NULL, SERVER_PID}, {NULL, 0, NULL, 0}};

/* "64m" is 64 MiB. */
static double number(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    switch (*end) {
    case '\0': return value;
    case 'k': return value * 1024;
    case 'm': return value * 1024 * 1024;
    case 'g': return value * 1024 * 1024 * 1024;
    default: die("not a number: %s", text);
    }
}

/* Which of the words, separated by '|', the text is. */
static int choice(const char *text, const char *first, const char *second, const char *third)
{
    if (strcmp(text, first) == 0) return 0;
    if (strcmp(text, second) == 0) return 1;
    if (third != NULL && strcmp(text, third) == 0) return 2;
    die("not known: %s", text);
}

static void read_pids(char *list)
{
    for (char *word = strtok(list, ","); word != NULL; word = strtok(NULL, ",")) {
        if (options.servers == MAX_SERVER_PIDS) die("more than %d server processes", MAX_SERVER_PIDS);
        options.server[options.servers++] = (pid_t)atoi(word);
    }
}

static void set_text(int option, char *text)
{
    switch (option) {
    case HOST: options.host = text; break;
    case SUITES: options.suites = text; break;
    case LABEL: options.label = text; break;
    case SERVER_PID: read_pids(text); break;
    case CLOSE: options.closing = (enum closing)choice(text, "clean", "fast", "reset"); break;
    case STORM: options.storm_of_hellos = choice(text, "full", "hello", NULL); break;
    default: fputs(usage, stderr); exit(2);
    }
}

static void set_flag(int option)
{
    switch (option) {
    case RESUME: options.resume = 1; break;
    case TOUCH: options.touch = 1; break;
    case PLAIN: options.plain = 1; break;
    default: options.tls12 = 1; break;
    }
}

static void set(int option, char *text)
{
    switch (option) {
    case PORT: options.port = (uint16_t)number(text); break;
    case SOURCES: options.sources = (int)number(text); break;
    case CONNECTIONS: options.connections = (int)number(text); break;
    case THREADS: options.threads = (int)number(text); break;
    case TOTAL: options.total = (long)number(text); break;
    case SECONDS: options.seconds = number(text); break;
    case WARMUP: options.warmup = number(text); break;
    case SIZE: options.size = (size_t)number(text); break;
    case DEPTH: options.depth = (size_t)number(text); break;
    case BYTES: options.bytes = (uint64_t)number(text); break;
    case HOLD: options.hold = number(text); break;
    case RATE: options.rate = number(text); break;
    case STORM_WIDTH: options.storm_width = (int)number(text); break;
    case TIMEOUT: options.timeout = number(text); break;
    case RESUME: case TOUCH: case PLAIN: case TLS12: set_flag(option); break;
    default: set_text(option, text); break;
    }
}

static void fill_in(void)
{
    if (options.port == 0) die("--port is missing");
    if (options.size < 1 || options.size > MAX_MESSAGE) die("--size is 1 to %d", MAX_MESSAGE);
    if (options.depth < 1 || options.threads < 1 || options.rate <= 0) die("--depth, --threads and --rate begin at 1");
    if (options.connections == 0) options.connections = options.mode == MODE_BULK ? 8 : 64;
    if (options.mode == MODE_BULK && options.bytes == 0) options.bytes = 64 << 20;
    if (options.hold <= 0) options.hold = 2;
    if (options.mode == MODE_HANDSHAKE && options.seconds <= 0 && options.total == 0) options.total = 10000;
    if (options.mode == MODE_ECHO && options.total != 0 && options.total < options.connections)
        options.total = options.connections;
    if (options.seconds <= 0) options.seconds = 3;
}

void options_read(int argc, char **argv)
{
    int option, mode = 0;
    while (argc > 1 && mode <= MODE_MIXED && strcmp(argv[1], mode_names[mode]) != 0) mode++;
    if (argc < 2 || mode > MODE_MIXED) {
        fputs(usage, stderr);
        exit(2);
    }
    options.mode = (enum mode)mode;
    optind = 2;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) set(option, optarg);
    if (optind < argc) die("not known: %s", argv[optind]);
    fill_in();
}
