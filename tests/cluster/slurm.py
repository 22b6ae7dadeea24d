"""A real Slurm cluster on this machine alone, for tests: fourteen nodes, four partitions, fake GPUs.

By hand, as root on Debian: `PYTHONPATH=tests python -m cluster.slurm start FOLDER`, later `stop FOLDER`.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import debian

PACKAGES = {"munged": "munge", "slurmctld": "slurmctld", "slurmd": "slurmd", "srun": "slurm-client"}
FREEZER = Path("/sys/fs/cgroup/freezer")
# Fake GPUs of each node.
NODES = {"cpu1": 0} | {f"gpu{i}": 1 for i in range(1, 11)} | {"single1": 1, "single2": 1, "twin": 2}
FILES = ("slurm.conf", "gres.conf", "cgroup.conf")
OWNER = "owner.pid"  # in the folder of a cluster: the process that started it

# Nodes may claim more CPUs than there are. A requeued job may start again after cred_expire, not after two minutes.
CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CryptoType=crypto/munge
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
StateSaveLocation={folder}/state
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdSpoolDir={folder}/spool-%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/{tracking}
MailProg=/bin/true
TaskPlugin=task/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=300
KillWait=15
MinJobAge=3600
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/none
{nodes}
PartitionName=cpu Nodes=cpu1 Default=YES MaxTime=1-0
PartitionName=gpu Nodes=gpu[1-10] MaxTime=1-0 PriorityTier=1 PreemptMode=REQUEUE GraceTime=10
PartitionName=gpu-high Nodes=gpu[1-10] MaxTime=1-0 PriorityTier=10 PreemptMode=OFF
PartitionName=mixed Nodes=single1,single2,twin MaxTime=1-0
"""


def why_not() -> str | None:
    """What keeps this machine from having a cluster of its own, or None."""
    if os.geteuid() != 0:
        return "a test cluster needs root"
    if not shutil.which("apt-get") and missing_packages():
        return "Slurm is not installed, and only Debian's packages are known here"
    for file in FILES:
        path = Path("/etc/slurm", file)
        if not (path.exists() or path.is_symlink()):
            continue
        owner = path.resolve().parent / OWNER
        if not owner.exists():
            return f"{path} is there and not ours: this machine belongs to a real cluster, which tests must not touch"
        if Path("/proc", owner.read_text()).exists():
            return f"process {owner.read_text()} has a test cluster here already"
    return None


def missing_packages() -> list[str]:
    """The Debian packages whose programs are not here."""
    return [package for program, package in PACKAGES.items() if not shutil.which(program)]


def install() -> None:
    """Install Slurm with Debian's packages, where it is missing; raises CalledProcessError."""
    if missing := missing_packages():
        debian.install(*missing)


def start(folder: Path) -> None:
    """Bring the cluster up, with all its files in `folder`; what one whose owner has died has left is removed first."""
    if reason := why_not():
        raise RuntimeError(reason)
    install()
    for file in FILES:
        link = Path("/etc/slurm", file)
        if link.is_symlink():
            stop(Path(os.readlink(link)).parent)
    (folder / "state").mkdir(parents=True)
    (folder / OWNER).write_text(str(os.getpid()))
    configure(folder)
    run("munged", *munge_options(folder))
    run("slurmctld", "-f", str(folder / "slurm.conf"))
    for node in NODES:
        start_node(folder, node)
    deadline = time.monotonic() + 60
    while idle_nodes() < len(NODES):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the test cluster did not come up:\n{(folder / 'slurmctld.log').read_text()[-2000:]}")
        time.sleep(0.2)


def configure(folder: Path) -> None:
    """Write the configuration to `folder`, and links to it to where Slurm's programs look."""
    host = socket.gethostname().split(".")[0]
    ports = free_ports(1 + len(NODES))
    nodes = [
        f"NodeName={node} NodeAddr=127.0.0.1 NodeHostname={host} Port={port} CPUs=8 RealMemory=64000 State=UNKNOWN"
        + (f" Gres=gpu:fake:{gpus}" if gpus else "")
        for (node, gpus), port in zip(NODES.items(), ports[1:], strict=True)
    ]
    # Only cgroups tell a step from the processes around it, as on a real cluster.
    tracking = "cgroup" if f" {FREEZER} cgroup " in Path("/proc/mounts").read_text() else "linuxproc"
    text = CONFIGURATION.format(folder=folder, host=host, port=ports[0], tracking=tracking, nodes="\n".join(nodes))
    # A GPU has to be a device: a copy of /dev/null.
    for i in range(max(NODES.values())):
        os.mknod(folder / f"gpu{i}", 0o020666, os.makedev(1, 3))
    (folder / "slurm.conf").write_text(text)
    devices = [
        f"NodeName={node} Name=gpu Type=fake File={folder}/gpu[0-{gpus - 1}]" for node, gpus in NODES.items() if gpus
    ]
    (folder / "gres.conf").write_text("\n".join(["AutoDetect=off", *devices, ""]))
    cgroups = "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n" if tracking == "cgroup" else ""
    (folder / "cgroup.conf").write_text(cgroups)
    # SLURM_CONF would do for the programs started here, but is lost on the way into a job.
    for file in FILES:
        Path("/etc/slurm", file).symlink_to(folder / file)


def munge_options(folder: Path) -> list[str]:
    """Those of a munged with a key and a socket of its own."""
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(1024))
    files = {"key-file": key, "socket": "munge.socket", "pid-file": "munged.pid", "log-file": "munged.log"}
    options = [f"--{name}={folder / file}" for name, file in files.items()]
    return [*options, f"--seed-file={folder / 'munged.seed'}", "--force"]


def start_node(folder: Path, node: str) -> None:
    """Start the daemon of a node."""
    run("slurmd", "-f", str(folder / "slurm.conf"), "-N", node)


def kill_node(folder: Path, node: str) -> None:
    """Kill the daemon of a node; what runs there lives on."""
    pid_file = folder / f"slurmd-{node}.pid"
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    while running(pid_file):
        time.sleep(0.05)


def stop(folder: Path) -> None:
    """End all jobs and daemons of the cluster in `folder` and remove what it left outside."""
    if running(folder / "slurmctld.pid"):
        for node in NODES:
            with suppress(RuntimeError):
                if not running(folder / f"slurmd-{node}.pid"):
                    start_node(folder, node)  # only it can end the jobs there
        subprocess.run(["scancel", "--user=root"], capture_output=True, timeout=30, check=False)
        deadline = time.monotonic() + 30
        while jobs_left() and time.monotonic() < deadline:
            time.sleep(0.2)
    for name in ("slurmctld", *(f"slurmd-{node}" for node in NODES), "munged"):
        end(folder / f"{name}.pid")
    for file in FILES:
        link = Path("/etc/slurm", file)
        if link.is_symlink() and Path(os.readlink(link)).parent == folder:
            link.unlink()
    for cgroup in sorted(FREEZER.glob("slurm*/**/"), reverse=True):
        with suppress(OSError):
            cgroup.rmdir()


def end(pid_file: Path) -> None:
    """End the daemon that wrote `pid_file`, kindly at first."""
    deadline = time.monotonic() + 10
    while pid := running(pid_file):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
        time.sleep(0.1)


def running(pid_file: Path) -> int | None:
    """The daemon that wrote `pid_file`, if it still runs; its number may be another process's by now."""
    try:
        pid = int(pid_file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if str(pid_file.parent).encode() in command else None


def run(*command: str) -> str:
    """The output of a command; raises RuntimeError with what it said."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}: {result.stderr or result.stdout}")
    return result.stdout


def idle_nodes() -> int:
    """Nodes that can take jobs."""
    result = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--format=%N %T"], capture_output=True, text=True, timeout=60, check=False
    )
    return len({line for line in result.stdout.splitlines() if line.endswith(" idle")})


def jobs_left() -> bool:
    """Whether any job is not at its end."""
    result = subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, timeout=60, check=False)
    return bool(result.stdout.strip())


def jobs() -> dict[int, dict[str, str]]:
    """All jobs that there were, as Slurm shows them: their fields by their number."""
    lines = run("scontrol", "show", "job", "--oneliner", "--all").splitlines()
    fields = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines]
    return {int(job["JobId"]): job for job in fields if "JobId" in job}


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens at."""
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


if __name__ == "__main__":
    {"start": start, "stop": stop}[sys.argv[1]](Path(sys.argv[2]).resolve())
