"""TLS servers that stand before a plain one: their configuration and how they are started."""

import os
import shutil

STUNNEL = """\
foreground = yes
pid =
debug = 2
sslVersionMin = TLSv1.2
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[tls]
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{behind}
cert = {both}
"""

HAPROXY = """\
global
 maxconn 9000
 nbthread 1
defaults
 mode tcp
 timeout connect 5s
 timeout client 90s
 timeout server 90s
listen tls
 bind 127.0.0.1:{port} ssl crt {both} backlog 4096
 server plain 127.0.0.1:{behind}
"""


def program(*names: str) -> str | None:
    """Debian keeps servers where only root looks."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    return next((found for found in (shutil.which(name, path=path) for name in names) if found), None)


def command(front: str, port: int, behind: int, both: str, directory: str) -> list[str]:
    """Writes the configuration; "both" is a file with the certificate and the key."""
    text, found = (STUNNEL, program("stunnel4", "stunnel")) if front == "stunnel" else (HAPROXY, program("haproxy"))
    if found is None:
        raise SystemExit(f"{front} is not installed")
    path = os.path.join(directory, f"{front}.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.format(port=port, behind=behind, both=both))
    return [found, path] if front == "stunnel" else [found, "-db", "-f", path]
