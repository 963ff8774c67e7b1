// A TLS echo server in C++17, as a class whose member functions are the callbacks.
//
//     echo_server [PORT [CERT KEY]]      without files: a self-signed certificate
//
// The callbacks run on the one worker thread that tlsloop starts, one at a time; main only waits for SIGINT or
// SIGTERM. What C gives has an owner that gives it back: the policy a unique_ptr, the server its object.
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

#include "tlsloop.h"

namespace {

int check(int rc)
{
    if (rc < 0) throw std::runtime_error(tlsloop_last_error()); // one sentence, with the file or address
    return rc;
}

struct FreeTls {
    void operator()(tlsloop_tls *tls) const { tlsloop_tls_free(tls); }
};
using Tls = std::unique_ptr<tlsloop_tls, FreeTls>;

// C wants a function, and this is one for each member function; `user` is the object. No exception may pass
// through C: it costs its connection, and nothing else.
template <auto Member> struct Callback;
template <typename T, typename... Args, void (T::*Member)(tlsloop_conn, Args...)>
struct Callback<Member> {
    static void run(tlsloop_conn conn, Args... args, void *user) noexcept
    {
        try {
            (static_cast<T *>(user)->*Member)(conn, args...);
        } catch (const std::exception &e) {
            std::cerr << "echo_server: " << e.what() << std::endl;
            (void)tlsloop_conn_abort(conn); // better a reset than an echo with a hole in it
        }
    }
};

class EchoServer {
public:
    EchoServer(std::uint16_t port, const Tls &tls) // 0: the system picks one
    {
        tlsloop_callbacks callbacks = TLSLOOP_CALLBACKS_INIT;
        callbacks.on_data = Callback<&EchoServer::on_data>::run;
        callbacks.on_drain = Callback<&EchoServer::on_drain>::run;
        callbacks.on_disconnect = Callback<&EchoServer::on_disconnect>::run;
        tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
        config.port = port;
        config.tls = tls.get(); // the server keeps its own reference
        config.callbacks = &callbacks;
        config.user = this;
        check(tlsloop_server_start(&config, &server_)); // last: from here on callbacks run
    }
    ~EchoServer() { (void)tlsloop_server_stop(server_, 2000); } // when it returns, no callback runs any more
    EchoServer(const EchoServer &) = delete; // nor moved: the callbacks know its address
    EchoServer &operator=(const EchoServer &) = delete;

    int port() const { return check(tlsloop_server_port(server_)); }

    tlsloop_stats stats() const
    {
        tlsloop_stats stats = TLSLOOP_STATS_INIT;
        check(tlsloop_server_stats(server_, &stats));
        return stats;
    }

private:
    void on_data(tlsloop_conn conn, const void *data, std::size_t len)
    {
        check(tlsloop_conn_send(conn, data, len)); // takes a copy of all of it, or nothing
        // An empty send asks whether there is room for more. If not, the peer sends without reading its echo,
        // so we stop reading as well; on_drain follows every EFULL.
        if (tlsloop_conn_send(conn, nullptr, 0) == TLSLOOP_EFULL) check(tlsloop_conn_pause(conn));
    }
    void on_drain(tlsloop_conn conn)
    {
        (void)tlsloop_conn_resume(conn); // fails only if the connection is ending, and then rightly
    }
    void on_disconnect(tlsloop_conn, int reason) // the last callback for this connection
    {
        std::cout << "ended: " << tlsloop_reason_name(reason) << std::endl;
    }

    tlsloop_server *server_ = nullptr;
};

int run(int argc, char **argv)
{
    const unsigned long port = argc > 1 ? std::stoul(argv[1]) : 12345;
    if (port > UINT16_MAX) throw std::out_of_range("no such port");
    const Tls tls(tlsloop_tls_new());
    check(argc > 3 ? tlsloop_tls_add_certificate_file(tls.get(), argv[2], argv[3])
                   : tlsloop_tls_add_self_signed(tls.get(), "localhost,127.0.0.1"));

    sigset_t signals; // blocked for sigwait; tlsloop's own threads take none anyway
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    if (pthread_sigmask(SIG_BLOCK, &signals, nullptr) != 0) throw std::runtime_error("pthread_sigmask");

    EchoServer server(static_cast<std::uint16_t>(port), tls);
    std::cout << "listening on " << server.port() << std::endl;
    int caught = 0;
    if (sigwait(&signals, &caught) != 0) throw std::runtime_error("sigwait");
    const tlsloop_stats s = server.stats();
    std::cout << s.connects << " connected, " << s.disconnects << " ended, " << s.handshakes_failed
              << " failed to connect, " << s.bytes_in << " bytes in, " << s.bytes_out << " out" << std::endl;
    return EXIT_SUCCESS;
}

} // namespace

int main(int argc, char **argv)
{
    try {
        return run(argc, argv);
    } catch (const std::exception &e) {
        std::cerr << "echo_server: " << e.what() << std::endl;
        return EXIT_FAILURE;
    }
}
