// TLS echo with Boost.Asio's ssl::stream: asio PORT CERTIFICATE KEY.
#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>

#include <csignal>
#include <cstdlib>
#include <memory>

namespace net = boost::asio;
using error_code = boost::system::error_code;
using net::ip::tcp;

class session : public std::enable_shared_from_this<session> {
public:
    session(tcp::socket socket, net::ssl::context &context) : stream(std::move(socket), context) {}

    void start()
    {
        stream.lowest_layer().set_option(tcp::no_delay(true));
        stream.async_handshake(net::ssl::stream_base::server, [self = shared_from_this()](error_code error) {
            if (!error) self->read();
        });
    }

private:
    net::ssl::stream<tcp::socket> stream;
    char buffer[16384];

    void read()
    {
        stream.async_read_some(net::buffer(buffer), [self = shared_from_this()](error_code error, size_t count) {
            if (!error) self->write(count);
            else if (error == net::error::eof) self->stream.async_shutdown([self](error_code) {});
        });
    }

    void write(size_t count)
    {
        net::async_write(stream, net::buffer(buffer, count), [self = shared_from_this()](error_code error, size_t) {
            if (!error) self->read();
        });
    }
};

static void accept_next(tcp::acceptor &acceptor, net::ssl::context &context)
{
    acceptor.async_accept([&](error_code error, tcp::socket socket) {
        if (!error) std::make_shared<session>(std::move(socket), context)->start();
        accept_next(acceptor, context);
    });
}

int main(int argc, char **argv)
{
    if (argc < 4) return 2;
    std::signal(SIGPIPE, SIG_IGN);
    net::io_context loop(1); // one thread: no locks
    net::ssl::context context(net::ssl::context::tls_server);
    SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
    SSL_CTX_set_mode(context.native_handle(), SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(context.native_handle(), reinterpret_cast<const unsigned char *>("echo"), 4);
    context.use_certificate_chain_file(argv[2]);
    context.use_private_key_file(argv[3], net::ssl::context::pem);
    tcp::acceptor acceptor(loop, tcp::endpoint(tcp::v4(), static_cast<unsigned short>(std::atoi(argv[1]))));
    accept_next(acceptor, context);
    loop.run();
}
