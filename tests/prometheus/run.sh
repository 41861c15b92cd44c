#!/bin/sh
# Alerts and dashboards: promtool checks and tries the rules, and a real Prometheus scrapes real gateways.
#
#   tests/prometheus/run.sh TOLLGATE_BINARY
#
# TOLLGATE_TEST_ALERTS=1 takes ten minutes more: two gateways under load, where every alert is made to ring by its cause.
set -eu
binary=$(realpath "$1")
cd "$(dirname "$0")/../.."
. deploy/prerequisites.sh

need_prometheus
need_redis
command -v python3 >/dev/null || install_packages python3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

say "promtool on the shipped rules"
promtool check config deploy/prometheus/prometheus.yml >/dev/null
promtool check rules deploy/prometheus/alerts.yml
promtool test rules deploy/prometheus/alerts_test.yml
say "promtool on the dashboard's queries"
python3 tests/prometheus/dashboards.py deploy/grafana/dashboards/*.json >"$scratch/queries.yml"
promtool check rules "$scratch/queries.yml" >/dev/null
say "Prometheus at a gateway"
python3 tests/prometheus/short.py "$binary"
[ "${TOLLGATE_TEST_ALERTS:-}" = 1 ] || exit 0
say "Prometheus at two gateways, and every alert by its cause"
python3 tests/prometheus/long.py "$binary"
