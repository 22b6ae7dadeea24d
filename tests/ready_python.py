"""Python for the jobs of a workflow, forked from a process that has imported what takes seconds: PyTorch, seaborn.

`python ready_python.py FOLDER` waits until its standard input ends. Meanwhile `FOLDER/python workflow_scripts/X.py ...`
is what `python workflow_scripts/X.py ...` would be, of the library beside the script, with the streams, variables,
folder and signals of whoever started it. All else that `FOLDER/python` is asked for, the real Python does.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path

PRELOADED = ["torch", "numpy", "pandas", "seaborn", "imageio.v3", "pydantic", "tabulate", "yaml"]
# What takes the place of Python: it hands its streams over, and signals on, and ends as the job does.
STARTER = """#!{python} -IS
import os, sys
if len(sys.argv) < 2 or os.path.basename(os.path.dirname(sys.argv[1])) != "workflow_scripts":
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
import json, signal, socket
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(connection, [len(request).to_bytes(8, "big")], [0, 1, 2])
connection.sendall(request)
answers = connection.makefile()
job = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, frame: os.kill(job, number))
status = int(answers.readline())
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


def listen(folder: Path) -> socket.socket:
    """Write the starter, and open the socket that it connects to."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "socket"))
    listener.listen(16)
    starter = folder / "python.part"
    starter.write_text(STARTER.format(python=sys.executable, address=str(folder / "socket")))
    starter.chmod(0o755)
    starter.rename(folder / "python")  # whoever sees it may start it
    return listener


def next_job(listener: socket.socket) -> socket.socket:
    """Return, in a process of its own, the connection of each job that is asked for; exit when the input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        readable, _, _ = select.select([listener, sys.stdin], [], [])
        if listener not in readable:
            sys.exit()
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            return connection
        connection.close()


def receive(connection: socket.socket) -> tuple[list[str], str, dict[str, str]]:
    """Take the job's streams, and return its arguments, folder and variables."""
    length, streams, _, _ = socket.recv_fds(connection, 8, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    with connection.makefile("rb") as stream:
        arguments, folder, environment = json.loads(stream.read(int.from_bytes(length, "big")))
    return arguments, folder, environment


def watch(connection: socket.socket, job: int) -> None:
    """Tell the starter which process the job is and how it ends; kill the job when the starter is gone."""
    connection.sendall(f"{job}\n".encode())
    ended = os.pidfd_open(job)
    readable, _, _ = select.select([ended, connection], [], [])
    if ended not in readable:
        os.kill(job, signal.SIGKILL)
    _, status = os.waitpid(job, 0)
    if ended in readable:
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def main() -> None:
    """Serve; what goes on after that is a job."""
    # The starter stands where the rules look for Python, and a job must be able to start others.
    listener = listen(Path(sys.argv[1]))
    # With SciPy, which a plain installation lacks, seaborn takes twice as long.
    sys.modules["scipy"] = None
    for name in PRELOADED:
        __import__(name)
    del sys.modules["scipy"]
    gc.freeze()  # what is shared stays shared
    connection = next_job(listener)
    arguments, folder, environment = receive(connection)
    if job := os.fork():
        watch(connection, job)
    connection.close()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    paths = [os.path.abspath(path) for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:1] = [os.path.abspath(os.path.dirname(arguments[0])), *paths]
    sys.argv[:] = arguments
    os._exit(status_of(arguments[0]))


def status_of(script: str) -> int:
    """Run a script, and all that Python does at its end but for the second in which it forgets its modules."""
    status = 0
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if status and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    main()
