"""Starts real daemons for the tests: loopback or a unix socket only, private directories, nothing of the machine's own touched."""
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess

from common import NOBODY, Skip, check


def program(*names):
    """The first of these programs that is installed."""
    for name in names:
        found = name if name.startswith("/") and os.access(name, os.X_OK) else None if name.startswith("/") else shutil.which(name)
        if found:
            return found
    raise Skip(f"{names[0]} is not installed")


def postgres_directory():
    base = pathlib.Path("/usr/lib/postgresql")
    versions = sorted(base.iterdir(), key=lambda p: p.name) if base.is_dir() else []
    for version in reversed(versions):
        if (version / "bin/postgres").exists():
            return version / "bin"
    raise Skip("PostgreSQL is not installed")


def talk(address, request, expected):
    """Sends request, and reads until `expected` has come."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(30)
        connection.connect(address)
        connection.sendall(request)
        got = b""
        while expected not in got:
            piece = connection.recv(65536)
            if not piece:
                raise ConnectionError(f"the answer ends with {got[-100:]!r}")
            got += piece
    return got


class Daemon:
    """process: as t.spawn gives it; ask: one request, raises unless the answer is right."""

    def __init__(self, process, ask, log=None):
        self.process, self.ask, self.log = process, ask, log
        self.pid = process.pid

    def family(self):
        """Its pid and those of all processes below it."""
        parents = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError, ValueError):
                    with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as stat:
                        parents[int(name)] = int(stat.read().rpartition(")")[2].split()[1])
        family, grown = {self.pid}, True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in family} - family
            family |= more
            grown = bool(more)
        return sorted(family)


def ready(t, daemon, what):
    def answers():
        with contextlib.suppress(OSError, AssertionError, subprocess.SubprocessError):
            daemon.ask()
            return True
    t.wait(answers, what, alive=daemon.process)
    return daemon


def redis(t, prefix=(), port=None, env=None):
    server = program("redis-server")
    port = port or t.free_port()
    process = t.spawn([*prefix, server, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.tmp,
                       "--daemonize", "no"], env=env)
    return ready(t, Daemon(process, lambda: talk(("127.0.0.1", port), b"PING\r\n", b"+PONG\r\n")), "redis-server")


def memcached(t, prefix=(), env=None):
    server = program("memcached")
    port = t.free_port()
    user = ["-u", "root"] if os.getuid() == 0 else []
    process = t.spawn([*prefix, server, "-l", "127.0.0.1", "-p", port, "-U", "0", "-t", "4", *user], env=env)
    return ready(t, Daemon(process, lambda: talk(("127.0.0.1", port), b"version\r\n", b"VERSION ")), "memcached")


def nginx(t, prefix=(), env=None):
    server = program("nginx", "/usr/sbin/nginx")
    port = t.free_port()
    root = t.directory("nginx")
    (root / "index.html").write_text("hello from nginx")
    user = "user root;" if os.getuid() == 0 else ""
    (root / "nginx.conf").write_text(f"""
{user} daemon off; master_process on; worker_processes 2; pid {root}/pid; error_log {root}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u;
    scgi_temp_path {root}/s; server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
""")
    process = t.spawn([*prefix, server, "-p", root, "-c", root / "nginx.conf", "-e", root / "error.log"], env=env)
    request = b"GET / HTTP/1.0\r\n\r\n"
    return ready(t, Daemon(process, lambda: talk(("127.0.0.1", port), request, b"hello from nginx")), "nginx")


def apache(t, prefix=(), env=None):
    server = program("apache2", "/usr/sbin/apache2")
    modules = pathlib.Path("/usr/lib/apache2/modules")
    port = t.free_port()
    root = t.directory("apache")
    (root / "index.html").write_text("hello from apache")
    user = "User nobody\nGroup nogroup" if os.getuid() == 0 else ""
    t.tmp.chmod(0o755)
    (root / "apache.conf").write_text(f"""
ServerRoot {root}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {root}/pid
DefaultRuntimeDir {root}
Mutex file:{root} default
ErrorLog {root}/error.log
DocumentRoot {root}
{user}
LoadModule mpm_prefork_module {modules}/mod_mpm_prefork.so
LoadModule authz_core_module {modules}/mod_authz_core.so
StartServers 3
MinSpareServers 3
MaxSpareServers 3
MaxRequestWorkers 3
<Directory {root}>
Require all granted
</Directory>
""")
    process = t.spawn([*prefix, server, "-DFOREGROUND", "-f", root / "apache.conf"], env=env)
    request = b"GET /index.html HTTP/1.0\r\n\r\n"
    return ready(t, Daemon(process, lambda: talk(("127.0.0.1", port), request, b"hello from apache")), "apache2")


def postgres(t, prefix=(), env=None):
    """As a user other than root, which PostgreSQL insists on."""
    binaries = postgres_directory()
    user = {} if os.getuid() else {"user": NOBODY}
    data, run = t.directory("pg", uid=NOBODY if user else None), t.directory("run", uid=NOBODY if user else None)
    port = t.free_port()
    options = {**user, **({"group": NOBODY, "extra_groups": []} if user else {})}
    made = subprocess.run([binaries / "initdb", "-D", data, "-A", "trust", "-U", "tester", "--no-sync", "--locale=C", "-E", "UTF8"],
                          capture_output=True, text=True, check=False, env=t.environment(HOME="/nonexistent"), cwd="/", **options)
    check(made.returncode == 0, "initdb:", made.stderr)
    process = t.spawn([*prefix, binaries / "postgres", "-D", data, "-p", port, "-k", run, "-c", "listen_addresses=127.0.0.1", "-c",
                       "fsync=off", "-c", "max_connections=20", "-c", "shared_buffers=8MB", "-c", "dynamic_shared_memory_type=mmap"],
                      env=env or t.environment(HOME="/nonexistent"), **user)

    def ask():
        # The protocol's start-up message and a simple query, without a client library.
        import struct  # pylint: disable=import-outside-toplevel
        body = struct.pack("!I", 196608) + b"user\0tester\0database\0postgres\0\0"
        query = b"SELECT 6 * 7\0"
        request = struct.pack("!I", len(body) + 4) + body + b"Q" + struct.pack("!I", len(query) + 4) + query
        got = talk(("127.0.0.1", port), request + b"X" + struct.pack("!I", 4), b"\x0242")
        return got

    return ready(t, Daemon(process, ask), "PostgreSQL")
