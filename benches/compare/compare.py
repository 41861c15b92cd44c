"""CPU time per request beside a bare proxy, contenders interleaved."""

import statistics

from contenders import Contender
from load import saturate
from machine import print_table, spread, tell


def run(ground, options):
    counts = range(1, options.workers + 1)
    contenders = [Contender(ground, name, workers) for name in options.contenders for workers in counts]
    for contender in contenders:
        saturate(ground, contender, options.warm, 64)
    for connections in options.connections:
        runs = {contender: [] for contender in contenders}
        for number in range(options.rounds):
            for contender in contenders:
                run = saturate(ground, contender, options.seconds, connections)
                runs[contender].append(run)
                tell(
                    f"{connections} connections, round {number + 1}, {contender.name} × {contender.workers}: "
                    f"{run['cpu']:.1f} µs, {run['rate']:.0f}/s, cores {run['busy']:.0%} busy"
                )
        print_comparison(ground, options, connections, runs)


def print_comparison(ground, options, connections, runs):
    base = next((found for contender, found in runs.items() if contender.name == "bare"), None)
    head = ["contender", "token", "CPU µs per request", "× bare", "+ µs over bare"]
    head += ["requests/s", "proxy's cores busy", "p50 / p99 µs", "errors"]
    rows = []
    for contender, found in runs.items():
        every = {key: [run[key] for run in found] for key in found[0]}
        middle = {key: statistics.median(values) for key, values in every.items()}
        ratio, more = "", ""
        if base and found is not base:
            pairs = [(run["cpu"], other["cpu"]) for run, other in zip(found, base)]
            ratio = spread([own / other for own, other in pairs], 2)
            more = f"{statistics.median(own - other for own, other in pairs):+.1f}"
        rows.append([
            contender.name + ("" if options.workers == 1 else f" × {contender.workers}"),
            contender.algorithm if contender.verifies else "not looked at",
            spread(every["cpu"]), ratio, more, spread(every["rate"], 0), f"{middle['busy']:.0%}",
            f"{middle['p50']:,.0f} / {middle['p99']:,.0f}", sum(every["errors"]),
        ])
    print(f"{connections} at once, {options.rounds} rounds of {options.seconds} s, {ground.where()}:\n")
    print_table(head, rows)
