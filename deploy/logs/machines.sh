#!/bin/bash
# Has Fluent Bit collect the logs of this machine, from now on and after each boot. Called by setup_commands, which have
# the variables of the node; fluent-bit.yaml and output.yaml lie beside it. May be called again.
set -eu
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
: "${RAYFLEET_CLUSTER:?is set where setup_commands run}" "${RAY_NODE_TYPE_NAME:?is set where setup_commands run}"

program="$(PATH="$PATH:/opt/fluent-bit/bin" command -v fluent-bit)" || { echo "install Fluent Bit first" >&2; exit 1; }
collected="$HOME/.rayfleet/collected"
mkdir -p -m 700 "$collected"

cat > "$collected/environment" <<END
RAYFLEET_CLUSTER=$RAYFLEET_CLUSTER
RAY_NODE_TYPE_NAME=$RAY_NODE_TYPE_NAME
RAY_CLOUD_INSTANCE_ID=${RAY_CLOUD_INSTANCE_ID:-$(hostname)}
RAYFLEET_LOGS=${XDG_STATE_HOME:-$HOME/.local/state}/rayfleet/clusters/$RAYFLEET_CLUSTER/logs
RAYFLEET_COLLECTED=$collected
END

sudo tee /etc/systemd/system/rayfleet-logs.service > /dev/null <<END
[Unit]
Description=Logs of a node of Ray
After=network.target

[Service]
User=$(id -un)
EnvironmentFile=$collected/environment
ExecStart=$program -c $here/fluent-bit.yaml
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
END
sudo systemctl daemon-reload
sudo systemctl enable rayfleet-logs.service
sudo systemctl restart rayfleet-logs.service
