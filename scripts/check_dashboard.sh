#!/usr/bin/env bash
# Holds the committed dashboard against Grafana's own types (npm: @grafana/schema, typescript).
# Not part of `make test`: it needs Node.js. Expressions are checked there, by a real Prometheus.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v npm >/dev/null || { echo "check_dashboard: please install nodejs and npm" >&2; exit 1; }
mkdir -p target/dashboard
cd target/dashboard
[ -e package.json ] || npm init -y >/dev/null
npm install --no-audit --no-fund --silent @grafana/schema typescript@5
{
    echo 'import type { Dashboard } from "@grafana/schema";'
    echo 'export const dashboard: Dashboard = '
    cat ../../grafana/vendorwatch.json
    echo ';'
} >check.ts
npx tsc --strict --noEmit --skipLibCheck --moduleResolution node --target es2022 check.ts
echo "grafana/vendorwatch.json: every field is known to Grafana's types"
