"""The roll call of a job: who has arrived and who has not, before JAX connects the processes.

Where a process is missing, JAX's own start-up aborts the others and names nobody. So process 0
counts first, on the coordinator's port, which it then hands to JAX. A process says who it is in
one line of JSON and gets one line back: "" if all have arrived, else what is wrong.
"""

import dataclasses
import errno
import json
import socket
import time

# What a process may take to say who it is, and process 0 to answer beyond the limit, in seconds.
_LINE_SECONDS = 5.0
_ANSWER_SECONDS = 30.0
_RETRY_SECONDS = 0.2
_LONGEST_LINE = 4096  # bytes


class ArrivalError(RuntimeError):
    """The processes of a job did not all arrive, or do not agree who they are."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A process's place in its job.

    Attributes:
      coordinator: "host:port" of process 0.
      num_processes: processes in the job.
      process_id: number of this process, from 0.
      local_device_ids: the host's devices that are this process's; None for all that it sees.
    """

    coordinator: str
    num_processes: int
    process_id: int
    local_device_ids: tuple[int, ...] | None = None


@dataclasses.dataclass
class _Arrived:
    host: str
    connection: socket.socket | None


def roll_call(job: Job, limit: float) -> None:
    """Returns when all processes of the job have arrived.

    Args:
      job: this process.
      limit: seconds to wait for the others.

    Raises:
      ArrivalError: in all processes that have arrived; it names those that have not.
    """
    address, _, port = job.coordinator.rpartition(":")
    if not address or not port.isdecimal() or not 0 <= job.process_id < job.num_processes:
        raise ArrivalError(
            f"expected a coordinator host:port and a process id below {job.num_processes}, got "
            f"{job.coordinator!r} and {job.process_id}"
        )
    if job.process_id == 0:
        _count(job, int(port), limit)
    else:
        _report(job, (address.strip("[]"), int(port)), limit)


def _count(job: Job, port: int, limit: float) -> None:
    """Process 0: waits for the others, then answers them all alike."""
    deadline = time.monotonic() + limit
    arrived = {0: _Arrived(socket.gethostname(), None)}
    wrong = ""
    with _listen(port, job.num_processes) as server:
        while not wrong and not _all_here(job, arrived):
            server.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                connection, _ = server.accept()
            except TimeoutError:
                wrong = _missing(job, arrived, limit)
            else:
                wrong = _take(job, arrived, connection)
    for process in arrived.values():
        if process.connection is not None:
            _answer(process.connection, wrong)
    if wrong:
        raise ArrivalError(wrong)


def _all_here(job: Job, arrived: dict[int, _Arrived]) -> bool:
    """Whether all have arrived and wait; one that hung up meanwhile has to come again."""
    for number, process in list(arrived.items()):
        if process.connection is not None and _hung_up(process.connection):
            del arrived[number]
    return len(arrived) == job.num_processes


def _listen(port: int, backlog: int) -> socket.socket:
    """Listens on all addresses of this host, those of IPv6 too where it has any."""
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(
                ("::", port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True
            )
    except OSError as error:  # the kernel knows IPv6, but it is switched off
        if error.errno == errno.EADDRINUSE:
            raise ArrivalError(f"port {port} is taken on this host; choose another") from error
    return socket.create_server(("", port), backlog=backlog)


def _take(job: Job, arrived: dict[int, _Arrived], connection: socket.socket) -> str:
    """Notes one arrival; returns what is wrong with it, or ""."""
    try:
        said = json.loads(_read_line(connection, _LINE_SECONDS))
        number, count, host = int(said["process"]), int(said["of"]), str(said["host"])
    except (OSError, ValueError, KeyError, TypeError):
        connection.close()  # not one of ours: a port scan, or a process of an earlier job
        return ""
    before = arrived.get(number)
    if before and (before.connection is None or not _hung_up(before.connection)):
        _answer(connection, wrong := f"two processes are number {number}: on {before.host} and "
                f"on {host}; give each its own JAX_PROCESS_ID")  # fmt: skip
        return wrong
    arrived[number] = _Arrived(host, connection)
    if count != job.num_processes or not 0 < number < count:
        return (
            f"process {number} on {host} was started as one of {count} processes, process 0 as "
            f"one of {job.num_processes}; start all with the same JAX_NUM_PROCESSES"
        )
    return ""


def _missing(job: Job, arrived: dict[int, _Arrived], limit: float) -> str:
    absent = sorted(set(range(job.num_processes)) - set(arrived))
    present = ", ".join(f"{number} on {arrived[number].host}" for number in sorted(arrived))
    return (
        f"{len(arrived)} of {job.num_processes} processes arrived within {limit:g} s; missing: "
        f"{', '.join(map(str, absent))}. Arrived: {present}. Look why the missing ones did not "
        "start, or wait longer: FLAN_JAX_START_SECONDS"
    )


def _report(job: Job, coordinator: tuple[str, int], limit: float) -> None:
    """Another process: says who it is, and waits for the answer."""
    me = {"process": job.process_id, "of": job.num_processes, "host": socket.gethostname()}
    with _connect(job, coordinator, limit) as connection:
        try:
            connection.sendall(json.dumps(me).encode() + b"\n")
            wrong = _read_line(connection, limit + _ANSWER_SECONDS)
        except (OSError, ValueError) as error:
            raise ArrivalError(
                f"process 0, which coordinates the job at {job.coordinator}, went away before all "
                f"had arrived ({error}); its own log says why"
            ) from error
    if wrong:
        raise ArrivalError(wrong)


def _connect(job: Job, coordinator: tuple[str, int], limit: float) -> socket.socket:
    deadline = time.monotonic() + limit
    while True:
        try:
            return socket.create_connection(coordinator, timeout=_LINE_SECONDS)
        except OSError as error:
            if time.monotonic() + _RETRY_SECONDS > deadline:
                raise ArrivalError(
                    f"process 0, which coordinates the job at {job.coordinator}, has not arrived "
                    f"within {limit:g} s ({error}). Look why it did not start, whether this host "
                    "can reach that address, or wait longer: FLAN_JAX_START_SECONDS"
                ) from error
        time.sleep(_RETRY_SECONDS)


def _read_line(connection: socket.socket, seconds: float) -> str:
    """Returns a line without its end.

    Raises:
      OSError: none came in time.
      ValueError: the other side hung up, or sent something else.
    """
    connection.settimeout(seconds)
    line = b""
    while not line.endswith(b"\n"):
        part = connection.recv(_LONGEST_LINE)
        line += part
        if not part or len(line) > _LONGEST_LINE:
            raise ValueError("no line came")
    return line[:-1].decode()


def _answer(connection: socket.socket, wrong: str) -> None:
    """Answers and hangs up, second: the side that is first keeps the port busy for a minute."""
    with connection:
        try:
            connection.settimeout(_LINE_SECONDS)
            connection.sendall(wrong.encode() + b"\n")
            connection.recv(1)
        except OSError:
            pass  # it went away by itself


def _hung_up(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
