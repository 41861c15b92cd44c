"""What the system tells of processes, cores and disks."""

import os
import statistics
import sys
import time
import urllib.request

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
MEBIBYTE = 1 << 20


def tree(pid):
    """A process and all that descend from it."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        fields = stat_fields(entry)
        if fields:
            children.setdefault(int(fields[1]), []).append(int(entry))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def stat_fields(pid):
    """proc(5)'s stat from the third field on; None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None


def cpu_seconds(pids):
    """User and system time so far."""
    stats = filter(None, map(stat_fields, pids))
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / TICKS_PER_SECOND


def busy_seconds(cores):
    """The time in which the cores did anything."""
    busy = 0
    with open("/proc/stat") as file:
        for line in file:
            name, *ticks = line.split()
            if name in {f"cpu{core}" for core in cores}:
                user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
                busy += user + nice + system + irq + softirq + steal
    return busy / TICKS_PER_SECOND


def resident_mebibytes(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def mebibytes_in(folder, suffixes=("",)):
    files = (os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)
    return sum(os.path.getsize(file) for file in files if file.endswith(suffixes)) / MEBIBYTE


def fdatasync_micros(folder, count=500):
    """Times of as many appended and synced 120 bytes, about one usage record, sorted."""
    path, times = os.path.join(folder, "fdatasync"), []
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for _ in range(count):
        os.write(file, b"x" * 120)
        started = time.perf_counter()
        os.fdatasync(file)
        times.append((time.perf_counter() - started) * 1e6)
    os.close(file)
    os.unlink(path)
    return sorted(times)


def quantile(ordered, percent):
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def metrics(address):
    """A Prometheus page as a dictionary from a sample's name, labels included, to its value."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, value in samples}


def spread(values, digits=1):
    """Median (smallest–largest)."""
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:,.{digits}f} ({least:,.{digits}f}–{most:,.{digits}f})"


def tell(text):
    """How it goes, apart from the results."""
    print(f"# {text}", file=sys.stderr, flush=True)


def print_table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print(flush=True)
