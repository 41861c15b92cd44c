#!/bin/sh
# Makes what compose.yml gives to its services, where there is none yet. The folder is closed to others; the files are
# not, since containers read them as users of their own.
set -eu
cd "$(dirname "$0")"
mkdir -p -m 700 secrets
for name in jwt_secret admin_token stripe_webhook_secret grafana_password; do
    [ -s "secrets/$name" ] || openssl rand -hex 32 | tr -d '\n' >"secrets/$name"
    chmod 644 "secrets/$name"
done
# The local Stripe takes any.
[ -s secrets/stripe_secret_key ] || printf 'sk_test_trial' >secrets/stripe_secret_key
chmod 644 secrets/stripe_secret_key
