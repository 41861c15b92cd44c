"""The gateway's own time, and what waiting for the disk adds, at half of what it can do."""

import machine
from contenders import Contender
from load import paced, saturate
from machine import print_table, tell

SHOWN = (0.0001, 0.00025, 0.0005, 0.001)


def run(ground, options):
    rows = []
    syncs = machine.fdatasync_micros(ground.folder)
    for durability in ("process", "power"):
        contender = Contender(ground, "tollgate-hs256", durability=durability)
        rate = int(saturate(ground, contender, options.warm, 64)["rate"] / 2)
        before = machine.metrics(contender.admin)
        (came,) = paced(ground, contender, rate, options.seconds, options.seconds)
        own = own_time(before, machine.metrics(contender.admin))
        contender.stop()
        within = next(bound for bound, share in sorted(own.items()) if share >= 0.99)
        tell(f"{durability}: {came}")
        rows.append([
            durability, f"{rate:,}", " / ".join(f"{own[bound]:.2%}" for bound in SHOWN), f"{within * 1e6:,.0f} µs",
            f"{came['p50']:,} / {came['p99']:,}", f"{came['sent_late_p50']:,} / {came['sent_late_p99']:,}",
            came["errors"],
        ])
    head = ["durability", "requests/s", "own time ≤ 100 / 250 / 500 / 1,000 µs", "99 % within"]
    head += ["client's latency p50 / p99 µs", "of which sent late p50 / p99 µs", "errors"]
    print(f"{options.seconds} s at half of what 64 connections reached, sent at fixed times, {ground.where()}:\n")
    print_table(head, rows)
    times = " / ".join(f"{machine.quantile(syncs, percent):,.0f}" for percent in (50, 99))
    print(f"fdatasync of 120 appended bytes on the same disk, nothing else running: p50 / p99 {times} µs.")


def own_time(before, after):
    """The share of requests within each of the histogram's bounds, in seconds."""
    prefix = 'tollgate_gateway_seconds_bucket{le="'
    counts = {
        float(name.removeprefix(prefix).removesuffix('"}')): value - before[name]
        for name, value in after.items()
        if name.startswith(prefix)
    }
    return {bound: count / max(counts[float("inf")], 1) for bound, count in counts.items()}
