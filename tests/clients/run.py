"""Clients that are not ours, against the gateway: each library's cases, in one table, and what they must have cost.

    python run.py GATEWAY TOKEN

Prints the table, and in its last line the units that all cases together cost. Exits 1 if a case failed.
"""

import sys
import traceback

import httpx_cases
import openai_cases
import websockets_cases


def run(module, gateway, token):
    """The cases that passed, and their units."""
    passed = units = 0
    for case, cost in module.CASES:
        try:
            case(gateway, token)
        except Exception:
            print(f"FAILED {module.NAME}: {case.__doc__}", file=sys.stderr)
            traceback.print_exc()
        else:
            passed += 1
            units += cost
    return passed, units


def main():
    gateway, token = sys.argv[1:]
    whole, total = True, 0
    print(f"{'client':<12}{'version':<12}{'cases':>6}{'passed':>8}")
    for module in (openai_cases, httpx_cases, websockets_cases):
        passed, units = run(module, gateway, token)
        print(f"{module.NAME:<12}{module.VERSION:<12}{len(module.CASES):>6}{passed:>8}")
        whole &= passed == len(module.CASES)
        total += units
    print(total)
    sys.exit(0 if whole else 1)


main()
