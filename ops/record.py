"""Record this machine's telemetry, with incidents provoked on a timetable, into one Parquet file.

Run: python -m ops.record --minutes 65 --interval 2 --out ops/recording
The recorder starts children of its own (a steady worker, and one child per incident), so
that per-process figures have a known cause. Every row is (step, series, value); what is
absent at a step (a child that does not run) has no row.
"""

import argparse
import json
import multiprocessing
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

Reading = tuple[str, dict[str, str], float]

MIB = 1 << 20


def read_machine() -> Iterator[Reading]:
    """Yield the machine's counters and gauges, named as node_exporter names them."""
    for cpu, times in enumerate(psutil.cpu_times(percpu=True)):
        for mode in ("user", "system", "idle", "iowait", "irq", "softirq", "steal", "nice"):
            yield (
                "node_cpu_seconds_total",
                {"cpu": str(cpu), "mode": mode},
                getattr(times, mode, 0.0),
            )
    memory = psutil.virtual_memory()
    for field in ("total", "available", "used", "free", "buffers", "cached", "shared", "slab"):
        yield f"node_memory_{field}_bytes", {}, float(getattr(memory, field))
    for field, value in zip(("load1", "load5", "load15"), psutil.getloadavg(), strict=True):
        yield f"node_{field}", {}, value
    stats = psutil.cpu_stats()
    yield "node_context_switches_total", {}, float(stats.ctx_switches)
    yield "node_intr_total", {}, float(stats.interrupts)
    yield "node_processes", {}, float(len(psutil.pids()))


def read_devices() -> Iterator[Reading]:
    """Yield counters of disks and network interfaces, and the fill of the root filesystem."""
    for device, io in psutil.disk_io_counters(perdisk=True).items():
        if io.read_count == 0 or device.startswith("loop"):
            continue
        labels = {"device": device}
        yield "node_disk_read_bytes_total", labels, float(io.read_bytes)
        yield "node_disk_written_bytes_total", labels, float(io.write_bytes)
        yield "node_disk_reads_completed_total", labels, float(io.read_count)
        yield "node_disk_writes_completed_total", labels, float(io.write_count)
        yield "node_disk_io_time_seconds_total", labels, io.busy_time / 1000
    usage = psutil.disk_usage("/")
    yield "node_filesystem_avail_bytes", {"mountpoint": "/"}, float(usage.free)
    yield "node_filesystem_used_bytes", {"mountpoint": "/"}, float(usage.used)
    for device, net in psutil.net_io_counters(pernic=True).items():
        labels = {"device": device}
        yield "node_network_receive_bytes_total", labels, float(net.bytes_recv)
        yield "node_network_transmit_bytes_total", labels, float(net.bytes_sent)
        yield "node_network_receive_packets_total", labels, float(net.packets_recv)
        yield "node_network_transmit_packets_total", labels, float(net.packets_sent)
    yield "node_sockstat_tcp_inuse", {}, float(len(psutil.net_connections("tcp")))


def read_processes(children: Mapping[str, BaseProcess]) -> Iterator[Reading]:
    """Yield figures of the recorder itself and of each of its children that is alive."""
    pids = {"recorder": os.getpid()} | {name: c.pid for name, c in children.items() if c.pid}
    for name, pid in pids.items():
        labels = {"process": name}
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                cpu, memory = process.cpu_times(), process.memory_info()
                threads, switches = process.num_threads(), process.num_ctx_switches()
        except psutil.NoSuchProcess:
            continue  # it ended between the listing and the reading
        yield "process_cpu_seconds_total", labels, cpu.user + cpu.system
        yield "process_resident_memory_bytes", labels, float(memory.rss)
        yield "process_virtual_memory_bytes", labels, float(memory.vms)
        yield "process_threads", labels, float(threads)
        yield (
            "process_context_switches_total",
            labels,
            float(switches.voluntary + switches.involuntary),
        )


def work_steadily() -> None:
    """Burn about a twentieth of one core for ever: the child that nothing happens to."""
    while True:
        _spin(time.monotonic() + 0.05)
        time.sleep(0.95)


def burn_cpu(seconds: float) -> None:
    """Keep one core busy."""
    _spin(time.monotonic() + seconds)


def balloon_memory(seconds: float) -> None:
    """Hold 2 GiB of touched memory."""
    held = [os.urandom(4096) * (16 * MIB // 4096) for _ in range(128)]
    time.sleep(seconds)
    held.clear()


def fill_disk(seconds: float) -> None:
    """Write 3 GiB to a temporary file, hold it, and remove it."""
    block = os.urandom(MIB)
    with tempfile.TemporaryFile() as file:
        for _ in range(3 * 1024):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        time.sleep(seconds)


def burst_network(seconds: float) -> None:
    """Send as fast as it goes over a loopback connection, half of the time."""
    receiver = socket.create_server(("127.0.0.1", 0))
    sender = socket.create_connection(receiver.getsockname())
    accepted, _ = receiver.accept()
    end, block = time.monotonic() + seconds, bytes(MIB // 4)
    while time.monotonic() < end:
        sender.sendall(block)
        remaining = len(block)
        while remaining:
            remaining -= len(accepted.recv(remaining))
        time.sleep(0.001)


def _spin(until: float) -> None:
    while time.monotonic() < until:
        pass


INCIDENTS: dict[str, tuple[Callable[[float], None], float]] = {
    "cpu_burn": (burn_cpu, 150),
    "memory_balloon": (balloon_memory, 120),
    "disk_fill": (fill_disk, 120),
    "network_burst": (burst_network, 120),
}


def timetable(minutes: float) -> list[tuple[float, str]]:
    """Return (second, incident) pairs: each incident twice, evenly spread, quiet at both ends."""
    names = list(INCIDENTS) * 2
    gap = minutes * 60 / (len(names) + 1)
    return [(gap * (index + 1), name) for index, name in enumerate(names)]


def record(minutes: float, interval_s: float, out: Path) -> None:
    """Record for so many minutes, appending each step to steps.jsonl, then pack it."""
    out.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("fork")
    children: dict[str, BaseProcess] = {
        "steady": context.Process(target=work_steadily, daemon=True)
    }
    children["steady"].start()
    start, due, incidents = time.monotonic(), timetable(minutes), []
    with (out / "steps.jsonl").open("w") as steps:
        for step in range(int(minutes * 60 / interval_s)):
            while due and time.monotonic() - start >= due[0][0]:
                name = due.pop(0)[1]
                work, seconds = INCIDENTS[name]
                children[name] = context.Process(target=work, args=(seconds,), daemon=True)
                children[name].start()
                incidents.append(
                    {"incident": name, "start_ms": time.time_ns() // 1_000_000, "seconds": seconds}
                )
                (out / "incidents.json").write_text(json.dumps(incidents, indent=1) + "\n")
            readings = [*read_machine(), *read_devices(), *read_processes(children)]
            steps.write(json.dumps([time.time_ns() // 1_000_000, readings]) + "\n")
            steps.flush()
            time.sleep(max(0.0, start + (step + 1) * interval_s - time.monotonic()))
    pack(out)


def pack(out: Path) -> None:
    """Write machine.parquet from steps.jsonl: time_ms, series (JSON of its labels), value."""
    times: list[int] = []
    series: list[str] = []
    values: list[float] = []
    for line in (out / "steps.jsonl").read_text().splitlines():
        time_ms, readings = json.loads(line)
        for name, labels, value in readings:
            times.append(time_ms)
            series.append(json.dumps({"__name__": name} | labels, sort_keys=True))
            values.append(value)
    table = pa.table(
        {
            "time_ms": pa.array(times, pa.int64()),
            "series": pa.array(series, pa.string()),
            "value": pa.array(values, pa.float64()),
        }
    )
    # Sorted by series, neighbouring values resemble each other: a third of the size.
    table = table.sort_by([("series", "ascending"), ("time_ms", "ascending")])
    pq.write_table(
        table,
        out / "machine.parquet",
        compression="zstd",
        compression_level=19,
        use_dictionary=["series"],
        column_encoding={"time_ms": "DELTA_BINARY_PACKED", "value": "BYTE_STREAM_SPLIT"},
    )


def main() -> None:
    """Record as the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=65)
    parser.add_argument("--interval", type=float, default=2, help="seconds between two readings")
    parser.add_argument("--out", type=Path, default=Path("recording"))
    arguments = parser.parse_args()
    record(arguments.minutes, arguments.interval, arguments.out)


if __name__ == "__main__":
    main()
