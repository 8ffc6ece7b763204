#!/bin/sh
# Installs or upgrades. Run as root in the project's folder. Configuration and secret stay as they are, if they are there.
set -eu
python3 -m venv /opt/sockudo
/opt/sockudo/bin/pip install --require-hashes --only-binary :all: --requirement requirements.lock
/opt/sockudo/bin/pip install --no-deps .
id sockudo >/dev/null 2>&1 || useradd --system --home-dir /var/lib/sockudo --shell /usr/sbin/nologin sockudo
install -d -m 0750 -o root -g sockudo /etc/sockudo
test -e /etc/sockudo/config.json ||
    install -m 0640 -o root -g sockudo deploy/systemd/config.json /etc/sockudo/config.json
test -e /etc/sockudo/environment ||
    echo "SOCKUDO_APP_SECRET=$(openssl rand -hex 20)" | install -m 0600 /dev/stdin /etc/sockudo/environment
install -m 0644 deploy/systemd/sockudo.service /etc/systemd/system/sockudo.service
systemctl daemon-reload
systemctl enable sockudo
systemctl restart sockudo
