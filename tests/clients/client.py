"""Python's own client: one connection, one line, the answer on standard output.

client.py PORT NAME CA [version=1.2|1.3] [alpn=a,b] [cert=FILE key=FILE] [times=N]

Each time after the first it offers the session of the time before.
"""

import socket
import ssl
import sys


def context_of(ca, wishes):
    context = ssl.create_default_context(cafile=ca)
    if "version" in wishes:
        version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[wishes["version"]]
        context.minimum_version = context.maximum_version = version
    if "alpn" in wishes:
        context.set_alpn_protocols(wishes["alpn"].split(","))
    if "cert" in wishes:
        context.load_cert_chain(wishes["cert"], wishes["key"])
    return context


def talk(context, port, name, session):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        with context.wrap_socket(plain, server_hostname=name, session=session) as tls:
            tls.sendall(b"hello\n")
            answer = b""
            while part := tls.recv(4096):
                answer += part
            sys.stdout.write(answer.decode())
            return tls.session


def main():
    port, name, ca = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    wishes = dict(word.split("=", 1) for word in sys.argv[4:])
    context = context_of(ca, wishes)
    session = None
    for _ in range(int(wishes.get("times", 1))):
        session = talk(context, port, name, session)


main()
