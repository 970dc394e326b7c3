"""Services of Nova and Neutron from Debian's packages: gmr's report of each of their processes against their own on SIGUSR2.

They run without a message broker or a database server (`transport_url = fake://`, SQLite); tools/check-openstack --fetch gets them."""
import http.server
import os
import pathlib
import signal
import subprocess
import threading

from common import Skip, check, suite
from oslo import children, same

NOVA = """[DEFAULT]
transport_url = fake://
state_path = {directory}
host = localhost
my_ip = 127.0.0.1
use_stderr = true
compute_driver = fake.FakeDriver
enabled_apis = osapi_compute
osapi_compute_workers = 2
osapi_compute_listen = 127.0.0.1
osapi_compute_listen_port = 0
[api]
auth_strategy = noauth2
[conductor]
workers = 2
[scheduler]
workers = 2
[placement]
auth_type = none
endpoint = http://127.0.0.1:{placement}/
[database]
connection = sqlite:///{directory}/nova.db
[api_database]
connection = sqlite:///{directory}/nova_api.db
[oslo_messaging_notifications]
driver = noop
[oslo_concurrency]
lock_path = {directory}
[wsgi]
api_paste_config = {root}/usr/share/nova-common/api-paste.ini
"""

NEUTRON = """[DEFAULT]
transport_url = fake://
state_path = {directory}
core_plugin = ml2
service_plugins =
use_stderr = true
bind_host = 127.0.0.1
bind_port = 0
api_workers = 1
rpc_workers = 2
auth_strategy = noauth
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
api_paste_config = {root}/usr/share/neutron-common/api-paste.ini
[database]
connection = sqlite:///{directory}/neutron.db
[oslo_messaging_notifications]
driver = noop
[oslo_concurrency]
lock_path = {directory}
[ml2]
type_drivers = flat,local
tenant_network_types = local
mechanism_drivers = openvswitch
"""

# neutron-db-manage's migrations are not for SQLite.
NEUTRON_TABLES = """import sys, sqlalchemy
from neutron.db.migration.models import head
head.get_metadata().create_all(sqlalchemy.create_engine(sys.argv[1]))
"""


class Placement(http.server.BaseHTTPRequestHandler):
    """As much of the placement service as nova-scheduler asks for when it starts."""

    def do_GET(self):  # pylint: disable=invalid-name
        body = (b'{"versions": [{"id": "v1.0", "status": "CURRENT", "min_version": "1.0", "max_version": "1.39",'
                b' "links": [{"rel": "self", "href": ""}]}]}')
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


class OpenStack:
    def __init__(self, t):
        self.t, self.root = t, pathlib.Path(os.environ["GMR_BUILD"]).resolve() / "openstack/root"
        if not (self.root / "usr/bin/nova-conductor").exists():
            raise Skip("no Nova and Neutron (tools/check-openstack --fetch gets them)")
        self.environment = t.environment(
            PYTHONPATH=str(self.root / "usr/lib/python3/dist-packages"), LD_LIBRARY_PATH=str(self.root / "usr/lib/x86_64-linux-gnu"),
            HOME=str(t.tmp), PYTHONDONTWRITEBYTECODE="1", PATH=f"{self.root}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        placement = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Placement)
        threading.Thread(target=placement.serve_forever, daemon=True).start()
        t.cleanup(placement.shutdown)
        for name, text in (("nova", NOVA), ("neutron", NEUTRON)):
            (t.tmp / f"{name}.conf").write_text(text.format(directory=t.tmp, root=self.root, placement=placement.server_address[1]))

    def run(self, *command):
        result = subprocess.run(list(map(str, command)), env=self.environment, cwd=self.t.tmp, capture_output=True, text=True, timeout=300,
                                check=False)
        check(result.returncode == 0, command, result.stderr[-2000:])

    def nova(self):
        manage = [self.root / "usr/bin/nova-manage", "--config-file", self.t.tmp / "nova.conf"]
        self.run(*manage, "api_db", "sync")
        self.run(*manage, "cell_v2", "map_cell0", "--database_connection", f"sqlite:///{self.t.tmp}/cell0.db")
        self.run(*manage, "cell_v2", "create_cell", "--name", "one")
        self.run(*manage, "db", "sync")

    def start(self, service, workers, ready):
        """The service and all its processes, once it has as many workers and its log says `ready` for each."""
        t, config = self.t, self.t.tmp / f"{service.split('-')[0]}.conf"
        process = t.spawn([self.root / "usr/bin" / service, "--config-file", config], env=self.environment, cwd=t.tmp)
        t.cleanup(lambda: [os.kill(pid, signal.SIGKILL) for pid in children(process.pid)] if process.alive() else None)
        t.wait(lambda: len(children(process.pid)) >= workers and process.stderr_text().count(ready) >= max(workers, 1), f"{service} to start",
               alive=process)
        return process, [process.pid, *children(process.pid)]


def compare(t, service, process, pids):
    counts = [len([stack for stack in same(t, process, pid) if stack]) for pid in pids]
    print(f"# {service}: {len(pids)} processes, green threads with a stack in each: {' '.join(map(str, counts))}", flush=True)
    check(max(counts) >= 1, service, counts)
    process.stop()


@suite.test
def novas_processes_have_the_green_threads_that_nova_itself_reports(t):
    openstack = OpenStack(t)
    openstack.nova()
    for service, workers, ready in (("nova-conductor", 2, "Starting conductor node"),
                                    ("nova-scheduler", 2, "Starting scheduler node"),
                                    ("nova-api", 2, "wsgi starting up"),
                                    ("nova-compute", 0, "Timed out waiting for nova-conductor")):
        compare(t, service, *openstack.start(service, workers, ready))


@suite.test
def neutrons_processes_have_the_green_threads_that_neutron_itself_reports(t):
    openstack = OpenStack(t)
    openstack.run("/usr/bin/python3", "-c", NEUTRON_TABLES, f"sqlite:///{t.tmp}/neutron.db")
    for service, workers in (("neutron-rpc-server", 3), ("neutron-server", 5)):
        compare(t, service, *openstack.start(service, workers, "RPCClient manually"))


suite.main()
