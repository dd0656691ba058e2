#!/usr/bin/env bash
# Install what Streamgauge needs on this machine: Java, Maven, and everything else into .venv. Safe to run again.
# Without EXTRA it installs the extra serve, so that the demo has its page, and compiles the kernels.
# The home of the local cluster is .streamgauge unless STREAMGAUGE_HOME names another.
#   install.sh [EXTRA]      EXTRA: none, or dev for the tests (with PostgreSQL, Redis, Prometheus, Alertmanager, Chromium and Helm)
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python3.11}
extra=${1:-}

packages=()
command -v java >/dev/null || packages+=(openjdk-17-jre-headless)
command -v mvn >/dev/null || packages+=(maven)
command -v "$python" >/dev/null || packages+=(python3.11)
"$python" -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3.11-venv)
if [ "$extra" = dev ]; then
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || packages+=(postgresql)
  command -v promtool >/dev/null || packages+=(prometheus)
  command -v prometheus-alertmanager >/dev/null || command -v alertmanager >/dev/null || packages+=(prometheus-alertmanager)
  command -v redis-server >/dev/null || packages+=(redis-server)
  command -v cc >/dev/null || packages+=(gcc libc6-dev) # a library of the tests gives a process a wrong clock
  command -v chromium >/dev/null || packages+=(chromium) # the tests open the page of the service in a real browser
fi
if ((${#packages[@]})); then
  if [[ " ${packages[*]} " == *" postgresql "* ]] && ((EUID == 0)) && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
  fi
  if ((EUID == 0)) && command -v apt-get >/dev/null; then
    echo "installing ${packages[*]}"
    # The tests start servers of their own. The packages must start none.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
      trap 'rm -f "$policy"' EXIT
      printf '#!/bin/sh\nexit 101\n' >"$policy"
      chmod +x "$policy"
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
    for unit in prometheus prometheus-alertmanager redis-server; do
      if [[ " ${packages[*]} " == *" $unit "* ]] && command -v systemctl >/dev/null; then systemctl --quiet disable "$unit" || true; fi
    done
  else
    echo "missing, please install: ${packages[*]} (Debian: sudo apt install ${packages[*]})" >&2
    exit 1
  fi
fi

[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "installing Python packages into .venv (one to two minutes the first time)"
.venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt \
  -e ".[${extra:-serve}]" --config-settings editable_mode=strict
.venv/bin/python -m pip check
if [ "$extra" = dev ] && ! [ .venv/bin/helm -nt tests/docker/helm.txt ]; then
  .venv/bin/python tests/docker/install_helm.py
fi
if [ "$extra" = dev ] && ! [ .venv/flinkdeployments.flink.apache.org-v1.yml -nt tests/docker/install_crd.py ]; then
  .venv/bin/python tests/docker/install_crd.py
fi
if [ -z "$extra" ]; then
  STREAMGAUGE_HOME=${STREAMGAUGE_HOME:-$PWD/.streamgauge} .venv/bin/streamgauge warm
fi
touch ".venv/.installed${extra:+-$extra}"
