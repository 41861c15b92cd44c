"""A long run at seven tenths of what the gateway can do: whether memory, open files and latency stay flat.

The gateway reports to a local Stripe in a process of its own, so that what that one remembers is not counted.
"""

import os
import shutil
import statistics
import sys

import machine
from contenders import Contender
from ground import SUBJECTS
from load import paced, saturate
from machine import print_table, tell

LOAD = 0.7
RECORD_BYTES = 150
# What a second half may differ by and count as flat.
MEMORY_PER_HOUR = 0.1
LATENCY = 1.25

HEAD = ["minute", "memory MiB", "open files", "p50 µs", "p99 µs", "CPU µs per request", "ledger MiB"]
HEAD += ["store MiB", "outbox", "meter events accepted", "errors"]


def run(ground, options):
    contender = Contender(ground, "tollgate-hs256", flush_interval="60s")
    rate = int(LOAD * saturate(ground, contender, options.warm, 64)["rate"])
    seconds = int(options.minutes * 60)
    need = rate * seconds * RECORD_BYTES
    if shutil.disk_usage(ground.folder).free < 2 * need:
        sys.exit(f"the ledger will grow by {need >> 20} MiB: set TMPDIR to a disk with twice as much room")
    tell(f"{rate} requests/s for {seconds} s")
    rows, cpu = [], machine.cpu_seconds(contender.pids())
    for number, came in enumerate(paced(ground, contender, rate, seconds, options.every), 1):
        spent = machine.cpu_seconds(contender.pids())
        row = sample(contender, came, number * options.every / 60, (spent - cpu) * 1e6)
        cpu = spent
        rows.append(row)
        tell(", ".join(f"{name} {shown(value)}" for name, value in row.items()))
    print(f"{rate:,} requests/s, {LOAD:.0%} of what 64 connections reached, {SUBJECTS:,} customers,")
    print(f"{ground.where()}:\n")
    print_table(HEAD, [[shown(value) for value in row.values()] for row in rows])
    judge(rows, options.every)


def sample(contender, came, minute, cpu_micros):
    pid, metrics = contender.process.pid, machine.metrics(contender.admin)
    return dict(zip(HEAD, [
        minute,
        machine.resident_mebibytes(pid),
        machine.open_files(pid),
        came["p50"],
        came["p99"],
        cpu_micros / max(came["requests"], 1),
        machine.mebibytes_in(os.path.join(contender.data, "ledger")),
        machine.mebibytes_in(contender.data, (".db", ".db-wal")),
        int(metrics["tollgate_outbox_pending"]),
        int(metrics['tollgate_meter_events_total{outcome="delivered"}']),
        came["errors"],
    ]))


def shown(value):
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def judge(rows, every):
    """Says of the second half whether it stayed flat."""
    first, second = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    if len(first) < 2:
        print("Too short to judge: at least four intervals are needed.")
        return
    column = lambda half, name: [row[name] for row in half]
    memory = column(second, "memory MiB")
    growth = slope(memory) * 3_600 / every
    files = max(column(second, "open files")), max(column(first, "open files"))
    latency = [statistics.median(column(half, "p99 µs")) for half in (second, first)]
    verdicts = [
        (growth <= MEMORY_PER_HOUR * memory[0], f"memory grows by {growth:+.1f} MiB per hour"),
        (files[0] <= files[1], f"open files at most {files[0]}, {files[1]} before"),
        (latency[0] <= LATENCY * latency[1], f"p99 {latency[0]:,.0f} µs, {latency[1]:,.0f} before"),
    ]
    print("In the second half:\n")
    for flat, what in verdicts:
        print(f"- {'flat' if flat else 'NOT FLAT'}: {what}")


def slope(values):
    """Of the straight line that fits best, per step."""
    middle = (len(values) - 1) / 2
    weights = [at - middle for at in range(len(values))]
    return sum(weight * value for weight, value in zip(weights, values)) / sum(w * w for w in weights)
