"""Real programs that nobody here wrote, each at work without an end: what agree.py stops. PROGRAMS has a function a program, which starts it on a
Stage and returns its pids; Missing says that this machine does not have it."""
import contextlib
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

PYTHON = """
import json, re, hashlib, zlib, random, decimal, threading, sqlite3, struct, pickle
def work():
    while True:
        d = {str(i): [random.random() for _ in range(20)] for i in range(50)}
        s = json.dumps(d); json.loads(s); re.findall(r"(\\d+)\\.(\\d+)", s)
        hashlib.sha256(s.encode()).digest(); zlib.decompress(zlib.compress(s.encode()))
        sorted(d, key=lambda k: d[k][0]); sum(decimal.Decimal(i) ** 3 for i in range(100)); pickle.loads(pickle.dumps(d))
        db = sqlite3.connect(":memory:"); db.execute("create table t(a)"); db.executemany("insert into t values(?)", [(i,) for i in range(99)])
        list(db.execute("select a, sum(a) over (order by a) from t")); pow(3, 10**4 + 7, 10**60 + 7)
threads = [threading.Thread(target=work) for _ in range(3)]
[t.start() for t in threads]
"""
RUBY = 'Thread.new { loop { (1..2000).map { |i| i.to_s.hash }.sort.uniq.inject(:+) } }; ' \
       'loop { "abc def ghi".gsub(/[aeiou]/) { |m| m.upcase }; {a: 1}.merge(b: 2).to_a.flatten; 3**2000; Comparable.instance_methods }'
PHP = 'function f($n) { return $n < 2 ? $n : f($n-1) + f($n-2); } while (true) { f(12); $a = range(1, 500); shuffle($a); sort($a); ' \
      'preg_replace_callback("/[a-z]+/", fn($m) => strrev($m[0]), str_repeat("abc def ", 50)); md5(serialize($a)); json_decode(json_encode($a)); }'
NODE = 'setInterval(() => { const d = {}; for (let i = 0; i < 2000; i++) d["k" + i] = [i, {a: i}]; JSON.parse(JSON.stringify(d)); ' \
       '"x y z".repeat(99).split(/ /).sort().join(); require("crypto").pbkdf2(Buffer.from("a"), "b", 2000, 64, "sha512", () => 0); }, 0)'
JAVA = """public class Busy { static long fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
public static void main(String[] a) throws Exception { for (int t = 0; t < 2; t++) new Thread(() -> { while (true) { fib(20);
 StringBuilder b = new StringBuilder(); for (int i = 0; i < 1000; i++) b.append(i); b.toString().hashCode(); } }).start(); } }"""
RUST = """use std::collections::*; use std::thread; fn work(n: u64) -> u64 { let mut m = HashMap::new(); let mut b = BTreeMap::new();
for i in 0..n { *m.entry(i.wrapping_mul(2654435761) % 97).or_insert(0u64) += i; b.insert(format!("{:05}", i % 301), vec![i; 9]); }
let mut v: Vec<_> = b.into_iter().collect(); v.sort_by(|x, y| y.0.cmp(&x.0)); v.iter().map(|x| x.1.iter().sum::<u64>()).sum::<u64>() + m.len() as u64 }
fn main() { let h: Vec<_> = (0..3).map(|k| thread::spawn(move || loop { std::hint::black_box(work(1000 + k)); })).collect();
for x in h { let _ = x.join(); } }"""
CGO = """package main
/*
#include <stdlib.h>
#include <unistd.h>
static int cmp(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static void busy(int n) { int v[999]; for (int k = 0; k < n; k++) { for (int i = 0; i < 999; i++) v[i] = rand(); qsort(v, 999, sizeof(int), cmp); } }
static void idle(void) { for (;;) pause(); }
*/
import "C"
func main() { go func() { for { C.busy(10) } }(); go C.idle(); for { m := map[int]string{}; for i := 0; i < 1000; i++ { m[i] = string(rune(i)) } } }
"""


class Stage:
    """Starts what a program needs; everything is ended by pid."""

    def __init__(self, tmp):
        self.tmp, self.ended, self.processes, self.stopping = tmp, [], [], threading.Event()

    def spawn(self, *argv, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self.tmp,
                   "start_new_session": True, **options}
        process = subprocess.Popen([str(a) for a in argv], **options)
        self.processes.append(process)
        return process.pid

    def again(self, *argv, **options):
        """Runs a client over and over until the end."""
        def loop():
            while not self.stopping.is_set():
                child = subprocess.Popen([str(a) for a in argv], stdin=options.get("stdin", subprocess.DEVNULL), stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL, cwd=self.tmp)
                while child.poll() is None:
                    if self.stopping.wait(0.05):
                        child.kill()
                time.sleep(0.02)
        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        self.ended.append(thread)

    def write(self, name, text):
        path = self.tmp / name
        path.write_text(text)
        return path

    def random_file(self, name, size):
        path = self.tmp / name
        words = [bytes(random.randrange(97, 123) for _ in range(random.randrange(2, 9))) for _ in range(999)]
        with open(path, "wb") as file:
            while file.tell() < size:
                file.write(b" ".join(random.choices(words, k=1000)))
        return path

    def close(self):
        self.stopping.set()
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, 18)
                process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for thread in self.ended:
            thread.join(10)


class Missing(Exception):
    pass


def tool(name):
    path = shutil.which(name)
    if not path:
        raise Missing(f"{name} is not installed")
    return path


def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it does not start")
        time.sleep(0.05)


def listens(number):
    def connects():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", number), 1):
            return True
        return False
    until(connects)


def looped(stage, *argv):
    """A program that ends by itself is begun anew by a shell: its child is what is looked at."""
    line = " ".join(f"'{a}'" for a in argv)
    return stage.spawn("sh", "-c", f"while :; do {line}; done")


def daemon(name):
    def start(stage):
        import daemons  # pylint: disable=import-outside-toplevel
        from common import Context
        t = Context("agree")
        stage.context = t
        return getattr(daemons, name)(t), t
    return start


def ask(stage, server):
    def loop():
        while not stage.stopping.is_set():
            with contextlib.suppress(Exception):
                server.ask()
    for _ in range(3):
        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        stage.ended.append(thread)
    return server.family()


def served(name):
    def start(stage):
        server, _ = daemon(name)(stage)
        return ask(stage, server)
    return start


def redis(stage):
    number = port()
    pid = stage.spawn(tool("redis-server"), "--port", number, "--bind", "127.0.0.1", "--save", "", "--io-threads", "3")
    listens(number)
    stage.again(tool("redis-benchmark"), "-p", number, "-n", "20000", "-c", "20", "-q", "-P", "4")
    return [pid]


def postgres(stage):
    server, t = daemon("postgres")(stage)
    return ask(stage, server)


def mariadb(stage):
    data = stage.tmp / "mariadb"
    data.mkdir(mode=0o777)
    user = ["--user=root"] if os.geteuid() == 0 else []
    made = subprocess.run([tool("mariadb-install-db"), f"--datadir={data}", *user, "--auth-root-authentication-method=normal"], check=False,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if made.returncode != 0:
        raise Missing("mariadb-install-db makes no database here")
    pid = stage.spawn(tool("mariadbd"), "--no-defaults", f"--datadir={data}", f"--socket={data}/s", "--skip-networking", *user)
    until(lambda: (data / "s").exists())
    sql = stage.write("sql", "set @n=0; select sum(a.help_topic_id*b.help_topic_id) from mysql.help_topic a, mysql.help_topic b;\n" * 9)
    if shutil.which("mariadb"):
        stage.again("sh", "-c", f"mariadb --no-defaults -uroot -S {data}/s < {sql}")
    return [pid]


def simple(*argv):
    return lambda stage: [stage.spawn(tool(argv[0]), *argv[1:])]


def written(name, text, *argv):
    def start(stage):
        path = stage.write(name, text)
        return [stage.spawn(tool(argv[0]), *[path if a == "@" else a for a in argv[1:]])]
    return start


def openssl(algorithm):
    """Its own asm, and the alarm signal it measures with."""
    return lambda stage: [looped(stage, tool("openssl"), "speed", "-seconds", "1", *algorithm.split())]


def fed(*argv, size=4 << 20):
    """argv over and over on a file (@)."""
    def start(stage):
        path = stage.random_file("input", size)
        return [looped(stage, tool(argv[0]), *[path if a == "@" else a for a in argv[1:]])]
    return start


def piped(pipeline):
    def start(stage):
        stage.random_file("input", 4 << 20)
        return [stage.spawn("sh", "-c", f"while :; do {pipeline}; done")]
    return start


def java(stage):
    path = stage.write("Busy.java", JAVA)
    subprocess.run([tool("javac"), path], check=True, cwd=stage.tmp)
    return [stage.spawn(tool("java"), "-cp", stage.tmp, "Busy")]


def rust(stage):
    path = stage.write("busy.rs", RUST)
    subprocess.run([tool("rustc"), "-O", "-C", "debuginfo=1", "-o", stage.tmp / "busy", path], check=True, cwd=stage.tmp)
    return [stage.spawn(stage.tmp / "busy")]


def cgo(stage):
    (stage.tmp / "go").mkdir()
    (stage.tmp / "go/main.go").write_text(CGO)
    subprocess.run([tool("go"), "build", "-o", stage.tmp / "busy", "main.go"], check=True, cwd=stage.tmp / "go",
                   env={**os.environ, "HOME": str(stage.tmp), "GO111MODULE": "off"})
    return [stage.spawn(stage.tmp / "busy")]


def git(stage):
    subprocess.run(["sh", "-c", "git init -q r && cd r && for i in 1 2 3 4 5 6 7 8 9; do seq $i 20000 > f$i; git add .; "
                    "git -c user.name=a -c user.email=a@b commit -qm $i; done"], check=True, cwd=stage.tmp, env={**os.environ, "HOME": str(stage.tmp)})
    return [stage.spawn("sh", "-c", "cd r; while :; do git repack -adfq --threads=2; git log -p --stat; git fsck; done")]


def gdb_itself(stage):
    script = stage.write("s.gdb", "set confirm off\nset debuginfod enabled off\nwhile 1\nfile /usr/bin/gdb\nfile /usr/lib/debug/.build-id\nfile\ninfo functions xyz\nfile /bin/bash\nend\n")
    return [stage.spawn(tool("gdb"), "-nx", "-batch", "-x", script)]


def perl(stage):
    return [stage.spawn(tool("perl"), "-e", 'while (1) { my %h = map { $_ => rand } 1..500; my @k = sort { $h{$a} <=> $h{$b} } keys %h; '
                        'my $s = join ",", @k; $s =~ s/(\\d)(\\d)/$2$1/g; my @m = $s =~ /(\\d+),/g; sprintf "%.9g", sqrt($_) for @m; pack "N*", @m; }')]


def sqlite(stage):
    sql = stage.write("q.sql", "create table t(a,b); with recursive n(i) as (select 1 union all select i+1 from n where i<99999) insert into t select i, random() from n;\n"
                      "select max(b), a%7 from t group by 2; create index x on t(b); select count(*) from t u join t v on u.a=v.a where u.b>0; vacuum;\n")
    return [stage.spawn("sh", "-c", f"while :; do sqlite3 :memory: < {sql}; done")]


def musl(static):
    def start(stage):
        path = stage.write("m.c", MUSL)
        subprocess.run([tool("musl-gcc"), "-g", "-O2", *(["-static"] if static else []), "-o", stage.tmp / "m", path, "-pthread"], check=True)
        return [stage.spawn(stage.tmp / "m")]
    return start


MUSL = """#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>
#include <semaphore.h>
#include <math.h>
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER; static pthread_cond_t c = PTHREAD_COND_INITIALIZER; static sem_t s; volatile double sink;
static int cmp(const void *a, const void *b) { return strcmp(a, b); }
static void *locks(void *u) { for (;;) { pthread_mutex_lock(&m); pthread_mutex_unlock(&m); } }
static void *waits(void *u) { pthread_mutex_lock(&m); for (;;) pthread_cond_wait(&c, &m); }
static void *sems(void *u) { for (;;) sem_wait(&s); }
static void *sleeps(void *u) { for (;;) { struct timespec t = {0, 1000000}; nanosleep(&t, 0); poll(0, 0, 1); } }
static void *mallocs(void *u) { for (;;) { void *p[50]; for (int i = 0; i < 50; i++) p[i] = malloc(i * 37); for (int i = 0; i < 50; i++) free(p[i]); } }
static void *prints(void *u) { char b[200][40]; for (;;) { for (int i = 0; i < 200; i++) snprintf(b[i], 40, "%d %g %s", rand(), i * 1.7, "x"); qsort(b, 200, 40, cmp);
  for (int i = 0; i < 99; i++) sink += strtod(b[i], 0) + sin(i) + pow(i, 1.1); } }
int main(void) { void *(*f[])(void *) = {locks, waits, sems, sleeps, mallocs, prints}; sem_init(&s, 0, 0); pthread_t t;
 for (int i = 0; i < 6; i++) pthread_create(&t, 0, f[i], 0); for (;;) pause(); }
"""

PROGRAMS = {
    "redis": redis, "nginx": served("nginx"), "memcached": served("memcached"), "apache": served("apache"), "postgres": postgres,
    "mariadb": mariadb,
    "python": lambda stage: [stage.spawn(tool("python3"), "-c", PYTHON)],
    "ruby": simple("ruby", "-e", RUBY), "php": simple("php", "-r", PHP), "perl": perl, "node": simple("node", "-e", NODE), "java": java,
    "rust": rust, "cgo": cgo, "git": git, "gdb": gdb_itself, "sqlite": sqlite,
    "openssl-sha": openssl("sha1 sha256 sha512 md5"), "openssl-aes": openssl("-evp aes-128-cbc-hmac-sha1"), "openssl-gcm": openssl("-evp aes-256-gcm"),
    "openssl-rsa": openssl("rsa2048"), "openssl-ec": openssl("ecdsap256 ecdhx25519 ed25519"), "openssl-chacha": openssl("-evp chacha20-poly1305"),
    "openssl-old": openssl("des-ede3 camellia-128-cbc seed-cbc blowfish"),
    "openssl-hash": openssl("blake2s256 rmd160 whirlpool"),
    "xz": fed("xz", "-k", "-T2", "-c", "@"), "gzip": fed("gzip", "-k", "-c", "@"), "zstd": fed("zstd", "-T2", "-19", "-c", "@"),
    "bzip2": fed("bzip2", "-k", "-c", "@"), "sort": fed("sort", "@"),
    "ecm": piped("echo '(2^277-1)*(2^331-1)' | ecm -c 99 11000"), "bc": piped("echo 'scale=900; 4*a(1)' | bc -l"),
    "x264": piped("x264 --threads 2 --demuxer raw --input-res 320x240 -o /dev/null input"),
    "ffmpeg": piped("ffmpeg -v quiet -f lavfi -i testsrc=d=9:s=640x360 -f lavfi -i sine=d=9 -vf scale=300:200 -c:v mpeg4 -c:a aac -f null -"),
    "ffmpeg-vp9": piped("ffmpeg -v quiet -f lavfi -i testsrc=d=9:s=640x360 -c:v libvpx-vp9 -f null -"),
    "ffmpeg-av1": piped("ffmpeg -v quiet -f lavfi -i testsrc=d=9:s=320x180 -c:v libsvtav1 -f null -"),
    "ffmpeg-x265": piped("ffmpeg -v quiet -f lavfi -i testsrc=d=9:s=320x180 -c:v libx265 -f null -"),
    "gcc": piped("echo '#include <stdio.h>\n#include <math.h>' | gcc -O3 -fdump-rtl-all -E -dD -xc -; gcc -O3 -xc -c -o /dev/null $(printf %s /usr/include/stdio.h)"),
    "lua": simple("lua5.4", "-e", "while true do local t = {} for i = 1, 500 do t[i] = tostring(i) .. ('x'):rep(i % 9) end table.sort(t) "
                  "local s = table.concat(t); s:gsub('%d+', string.len); string.format('%5.3f', math.sin(#s)) end"),
    "guile": simple("guile", "-c", "(let loop () (sort (map (lambda (x) (random 1000)) (iota 500)) <) (expt 3 2000) (loop))"),
    "bash": simple("bash", "-c", "while :; do a=(); for i in {1..200}; do a+=(\"${i/1/x}\"); done; x=$(( ${#a[@]} * 3 )); printf -v y '%s' \"${a[@]}\"; done"),
    "qemu-img": simple("qemu-img", "bench", "-c", "99999999", "-f", "raw", "/dev/zero"),
    "musl": musl(False), "musl-static": musl(True),
}
