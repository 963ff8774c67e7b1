#include "report.h"

#include "basics.h"
#include "options.h"
#include "tls.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct failures {
    uint64_t failures, differences, timeouts, dropped, resumed;
    const char *first;
};

static struct failures gather(const struct worker *workers, int count, struct histogram *latency)
{
    struct failures f = {.first = ""};
    for (int i = 0; i < count; i++) {
        const struct worker *w = &workers[i];
        f.failures += w->failures;
        f.differences += w->differences;
        f.timeouts += w->timeouts;
        f.dropped += w->dropped;
        f.resumed += w->resumed;
        if (f.first[0] == '\0') f.first = w->first_failure;
        if (w->kind == KIND_STORM) continue; /* its own latencies are not what the run is about */
        histogram_merge(&latency[0], &w->latency[0]);
        histogram_merge(&latency[1], &w->latency[1]);
    }
    return f;
}

static void print_text(const char *name, const char *text)
{
    printf(",\"%s\":\"", name);
    for (; *text != '\0'; text++) putchar(*text == '"' || *text == '\\' || *text < ' ' ? '\'' : *text);
    putchar('"');
}

static void print_latency(const char *before, const struct histogram *h)
{
    printf(",\"%sp50_us\":%.1f,\"%sp99_us\":%.1f,\"%sp999_us\":%.1f,\"%smax_us\":%.1f", before,
           histogram_quantile(h, 0.5), before, histogram_quantile(h, 0.99), before, histogram_quantile(h, 0.999),
           before, (double)h->max / 1e3);
}

static double per(double amount, uint64_t count) { return count != 0 ? amount / (double)count : 0; }

static void print_server(const struct measurement *m)
{
    double cpu = (double)(m->after.cpu - m->before.cpu) / 1e9;
    double user = (double)(m->after.user_ticks - m->before.user_ticks);
    double ticks = user + (double)(m->after.system_ticks - m->before.system_ticks);

    printf(",\"client_cpu_share\":%.3f", m->client_cpu / m->elapsed);
    if (options.servers == 0) return;
    printf(",\"server_cpu_s\":%.4f,\"server_cpu_share\":%.3f,\"server_user_share\":%.3f", cpu, cpu / m->elapsed,
           ticks > 0 ? user / ticks : 0);
    printf(",\"server_switches\":%" PRIu64 ",\"server_peak_rss_kib\":%" PRIu64,
           m->after.switches - m->before.switches, m->after.peak_rss);
    if (options.mode == MODE_BULK) printf(",\"server_cpu_s_per_gib\":%.4f", per(cpu * 0x1p30, m->bytes));
    else printf(",\"server_us_per_operation\":%.4f", per(cpu * 1e6, m->operations + m->storm_operations));
}

static void print_idle(const struct measurement *m)
{
    double connections = m->open > 0 ? m->open : 1;
    printf(",\"opened\":%d,\"rss_base_kib\":%" PRIu64 ",\"rss_kib\":%" PRIu64, m->open, m->base.rss, m->before.rss);
    printf(",\"rss_bytes_per_connection\":%.0f,\"pss_bytes_per_connection\":%.0f",
           ((double)m->before.rss - (double)m->base.rss) * 1024 / connections,
           ((double)m->before.pss - (double)m->base.pss) * 1024 / connections);
    printf(",\"private_dirty_bytes_per_connection\":%.0f",
           ((double)m->before.private_dirty - (double)m->base.private_dirty) * 1024 / connections);
    printf(",\"server_us_per_opening\":%.2f,\"idle_cpu_ms_per_s\":%.3f",
           (double)(m->before.cpu - m->base.cpu) / 1e3 / connections,
           (double)(m->after.cpu - m->before.cpu) / 1e6 / m->elapsed);
}

static void print_rates(const struct measurement *m)
{
    printf(",\"operations\":%" PRIu64 ",\"operations_per_s\":%.1f", m->operations, (double)m->operations / m->elapsed);
    printf(",\"bytes_echoed\":%" PRIu64 ",\"mb_per_s_each_way\":%.3f", m->bytes, (double)m->bytes / m->elapsed / 1e6);
}

static void print_storm(const struct measurement *m, const struct failures *f, const struct histogram *latency)
{
    print_latency("quiet_", &latency[0]);
    print_latency("", &latency[1]);
    printf(",\"quiet_operations_per_s\":%.1f,\"storm\":\"%s\",\"storm_width\":%d,\"storm_per_s\":%.1f", m->quiet_rate,
           options.storm_of_hellos ? "hello" : "full", options.storm_width,
           (double)m->storm_operations / m->elapsed);
    printf(",\"rate\":%.0f,\"dropped\":%" PRIu64, options.rate, f->dropped);
}

int report(const struct measurement *m, const struct worker *workers, int count)
{
    struct histogram *latency = calloc(2, sizeof *latency);
    if (latency == NULL) die("out of memory");
    struct failures f = gather(workers, count, latency);

    printf("{\"mode\":\"%s\"", mode_names[options.mode]);
    print_text("label", options.label);
    print_text("version", options.plain ? "TCP" : negotiated.version);
    print_text("suite", negotiated.suite);
    print_text("group", negotiated.group);
    printf(",\"connections\":%d,\"threads\":%d,\"size\":%zu,\"depth\":%zu,\"setup_s\":%.3f,\"elapsed_s\":%.3f",
           options.connections, options.threads, options.size, options.depth, m->setup, m->elapsed);
    printf(",\"failures\":%" PRIu64 ",\"timeouts\":%" PRIu64 ",\"differences\":%" PRIu64, f.failures, f.timeouts,
           f.differences);
    print_text("first_failure", f.first);
    if (options.mode == MODE_IDLE) {
        print_idle(m);
    } else {
        print_rates(m);
        print_server(m);
        if (options.mode == MODE_MIXED) print_storm(m, &f, latency);
        else print_latency("", &latency[0]);
    }
    if (options.mode == MODE_HANDSHAKE) printf(",\"resumed\":%" PRIu64, f.resumed);
    printf("}\n");
    if (f.first[0] != '\0') fprintf(stderr, "load: first failure: %s\n", f.first);
    free(latency);
    return f.failures == 0 && (options.mode != MODE_IDLE || m->open == options.connections);
}
