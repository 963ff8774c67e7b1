/* Every macro of the header in use, in code that C89 and C++98 understand too. */

#include "tlsloop.h"

/* One call for each kind of constant: what takes a constant takes an int or an unsigned. */
static int known(int number) { return number != 1000; }
static int known_limit(unsigned number) { return number > 1000u; }

static int codes(void)
{
    return known(TLSLOOP_OK) && known(TLSLOOP_EINVAL) && known(TLSLOOP_ENOMEM) && known(TLSLOOP_ESYS)
        && known(TLSLOOP_ETLS) && known(TLSLOOP_EVERIFY) && known(TLSLOOP_ECLOSED) && known(TLSLOOP_EFULL)
        && known(TLSLOOP_ETIMEDOUT) && known(TLSLOOP_ETRUNCATED) && known(TLSLOOP_EDEADLK)
        && known(TLSLOOP_ESTATE) && known(TLSLOOP_EINTERNAL)
        && 1 -TLSLOOP_EINVAL == 2 && 1-TLSLOOP_NO_LISTENER == 2;
}

static int reason(int number)
{
    switch (number) {
    case TLSLOOP_REASON_PEER:
    case TLSLOOP_REASON_HOST:
    case TLSLOOP_REASON_TRUNCATED:
    case TLSLOOP_REASON_RESET:
    case TLSLOOP_REASON_PROTOCOL:
    case TLSLOOP_REASON_IDLE_TIMEOUT:
    case TLSLOOP_REASON_SEND_TIMEOUT:
    case TLSLOOP_REASON_STOPPED:
    case TLSLOOP_REASON_ABORTED:
    case TLSLOOP_REASON_SYSTEM:
        return 1;
    default:
        return 0;
    }
}

static int choices(void)
{
    return known(TLSLOOP_MODE_TLS) && known(TLSLOOP_MODE_PLAIN) && known(TLSLOOP_MODE_STARTTLS)
        && known(TLSLOOP_MODE_DETECT) && known(TLSLOOP_VERIFY_DEFAULT) && known(TLSLOOP_VERIFY_NONE)
        && known(TLSLOOP_VERIFY_OPTIONAL) && known(TLSLOOP_VERIFY_REQUIRED) && known(TLSLOOP_PROXY_OFF)
        && known(TLSLOOP_PROXY_REQUIRED) && known(TLSLOOP_TLS1_2) && known(TLSLOOP_TLS1_3)
        && known(TLSLOOP_LOG_ERROR) && known(TLSLOOP_LOG_WARN) && known(TLSLOOP_LOG_INFO)
        && known(TLSLOOP_LOG_DEBUG) && known(TLSLOOP_NO_LISTENER)
        && known_limit(TLSLOOP_NONE) && known_limit(TLSLOOP_HOST_DRIVEN) && known_limit(TLSLOOP_PER_CPU);
}

#if TLSLOOP_VERSION_NUMBER < 0x000100 || !defined(TLSLOOP_H)
#error "the preprocessor can compare versions"
#endif

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    (void)conn;
    (void)data;
    *(size_t *)user += len;
}

/* Static as well: an initialiser must be constant. */
static const tlsloop_callbacks none = TLSLOOP_CALLBACKS_INIT;

static int inits(void)
{
    tlsloop_callbacks callbacks = TLSLOOP_CALLBACKS_INIT;
    tlsloop_server_config server = TLSLOOP_SERVER_CONFIG_INIT;
    tlsloop_client_config client = TLSLOOP_CLIENT_CONFIG_INIT;
    tlsloop_info info = TLSLOOP_INFO_INIT;
    tlsloop_stats stats = TLSLOOP_STATS_INIT;
    tlsloop_slice slice;
    size_t seen = 0;

    callbacks.on_data = on_data;
    server.callbacks = &callbacks;
    server.user = &seen;
    slice.data = "hello";
    slice.len = 5;
    server.callbacks->on_data(1, slice.data, slice.len, server.user);

    return seen == 5 && none.size == sizeof none && none.on_data == NULL
        && callbacks.size == sizeof callbacks && callbacks.on_worker_stop == NULL
        && server.size == sizeof server && server.port == 0 && server.proxy_trusted == NULL
        && client.size == sizeof client && client.host == NULL && client.io_timeout_ms == 0
        && info.size == sizeof info && info.peer[127] == 0 && info.sha256[64] == 0 && info.age_ms == 0
        && stats.size == sizeof stats && stats.disconnects_by_reason[15] == 0 && stats.queued_bytes == 0;
}

int main(void)
{
    return codes() && reason(TLSLOOP_REASON_PEER) && choices() && inits() ? 0 : 1;
}
