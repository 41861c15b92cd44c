"""Tollgate beside other proxies, and by itself under load. README.md tells what each mode measures."""

import argparse

import cold
import compare
import half
import soak
from contenders import NAMES
from ground import Ground

MODES = {"compare": compare, "cold": cold, "half": half, "soak": soak}
USUAL = {"compare": 6, "cold": 6, "half": 30, "soak": 0}


def main():
    options = parse()
    workers = options.workers if options.mode == "compare" else 1
    with Ground(options.binaries, workers) as ground:
        MODES[options.mode].run(ground, options)


def parse():
    parser = argparse.ArgumentParser(prog="benches/compare/run.sh", description=__doc__)
    parser.add_argument("mode", nargs="?", choices=MODES, default="compare")
    parser.add_argument("--binaries", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5, help="compare, cold: rounds; 5")
    parser.add_argument("--seconds", type=int, help="seconds of one run; 6, of half 30")
    parser.add_argument("--warm", type=int, default=2, help="seconds of load before what counts; 2")
    parser.add_argument("--connections", type=numbers, default=[64], help="compare: such as 1,4,64; 64")
    parser.add_argument("--workers", type=int, choices=(1, 2), default=1, help="compare: 2 shows one and two")
    parser.add_argument("--contenders", type=names, help=f"compare, cold: of {','.join(NAMES)}; all, cold HS256")
    parser.add_argument("--tokens", type=int, default=200_000, help="cold: HS256 tokens, others a quarter; 200000")
    parser.add_argument("--minutes", type=float, default=20, help="soak: 20")
    parser.add_argument("--every", type=int, default=60, help="soak: seconds between two rows; 60")
    options = parser.parse_args()
    options.seconds = options.seconds or USUAL[options.mode]
    options.contenders = options.contenders or (["tollgate-hs256"] if options.mode == "cold" else NAMES)
    return options


def numbers(text):
    return [int(part) for part in text.split(",")]


def names(text):
    chosen = text.split(",")
    unknown = set(chosen) - set(NAMES)
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
    return chosen


main()
