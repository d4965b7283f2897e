"""One rule for what is left out wherever a configuration is shown, logged or kept."""

import json
import time

import pytest

from rayfleet.config import load, show
from rayfleet.config.secrets import redacted, without_secrets
from rayfleet.wiring import registry

HIDES = (
    ("export DB_PASSWORD=hunter2 && run", "export DB_PASSWORD=... && run"),
    ("export HF_TOKEN='hunter2 two'; run", "export HF_TOKEN=...; run"),
    ('AWS_SECRET_ACCESS_KEY="hunter2 two" aws s3 ls', "AWS_SECRET_ACCESS_KEY=... aws s3 ls"),
    ("KEY=hunter2", "KEY=..."),
    ("SECRET=`cat hunter2`x go", "SECRET=... go"),
    ("TOKEN=$(echo hunter2) go", "TOKEN=... go"),
    ("TOKEN=ab\"hunter2 c\"'d' go", "TOKEN=... go"),
    ('TOKEN="hunter2', "TOKEN=..."),
    ("-e PASSWORD=hunter2 --gpus all", "-e PASSWORD=... --gpus all"),
    ('-e "PASSWORD=two hunter2" -v /a:/b', '-e "PASSWORD=..." -v /a:/b'),
    ('["-e", "API_KEY=hunter2", "-v"]', '["-e", "API_KEY=...", "-v"]'),
    ('bash -c "export PASSWORD=hunter2" && echo "done"', 'bash -c "export PASSWORD=..." && echo "done"'),
    ('bash -c "TOKEN=hunter2 pip install x"', 'bash -c "TOKEN=... pip install x"'),
    ('bash -c "export TOKEN=\\"two hunter2\\" && pip"', 'bash -c "export TOKEN=... && pip"'),
    ("tool --api-key=hunter2 --password hunter2 -v", "tool --api-key=... --password ... -v"),
    ("curl 'https://h/x?token=hunter2&n=1'", "curl 'https://h/x?token=...&n=1'"),
    ('curl -H "Authorization: Bearer hunter2" https://h', 'curl -H "Authorization: ..." https://h'),
    ('{"Authorization": "Basic hunter2"}', '{"Authorization": "..."}'),
    ("pip install git+https://me:hunter2@git.example.com/x", "pip install git+https://me:...@git.example.com/x"),
    ("pip install git+https://hunter2@git.example.com/x", "pip install git+https://...@git.example.com/x"),
    ("redis://:hunter2@h:6379/0", "redis://:...@h:6379/0"),
    ("https://me:p@hunter2@h/x", "https://me:...@h/x"),
)

KEEPS = (
    "pip install -r requirements.txt",
    "curl https://h.example.com:8080/a@b?x=1",
    "git clone ssh://git@git.example.com/x",
    "ssh -o StrictHostKeyChecking=no -i ~/.ssh/key.pem me@host",
    "export TOKEN=$OTHER KEY=${KEY} && run --token $TOKEN",
    'curl -H "Authorization: Bearer $TOKEN" https://u:$PASS@h',
    "train --max_new_tokens=512 --tokenizer=x MONKEY=1 KEY_FILE=/etc/k TOKEN_PATH=/etc/t",
    "docker login -u me --password-stdin",
    "echo the password is kept elsewhere",
    "PATH=/usr/bin:$PATH LANG=C.UTF-8",
)


@pytest.mark.parametrize(("told", "shown"), HIDES)
def test_a_secret_in_a_text_is_left_out_and_nothing_else(told: str, shown: str) -> None:
    assert redacted(told) == shown
    assert "hunter2" not in shown
    assert redacted(shown) == shown, "what is hidden stays as it is"


@pytest.mark.parametrize("told", KEEPS)
def test_what_is_no_secret_stays(told: str) -> None:
    assert redacted(told) == told


@pytest.mark.parametrize("told", ["a" * 200_000, "-a" * 20_000, "token" * 20_000, "TOKEN='" * 5_000, "://a:" * 5_000])
def test_a_long_text_is_read_in_time_that_nobody_notices(told: str) -> None:
    began = time.process_time()
    redacted(told)
    assert time.process_time() - began < 2


def test_keys_that_sound_like_a_secret() -> None:
    told = {
        "aws_credentials": {"aws_secret_access_key": "x", "region": "eu"},
        "env": [{"name": "DB_PASSWORD", "value": "x"}, {"name": "MODE", "value": "fast"}],
        "tokens_per_s": 3,
        "auth_token": ["x"],
        "ssh_private_key": "~/k",
        "file_mounts": {"~/.aws/credentials": "~/mine/credentials"},
    }
    assert without_secrets(told) == {
        "aws_credentials": {"aws_secret_access_key": "...", "region": "eu"},
        "env": [{"name": "DB_PASSWORD", "value": "..."}, {"name": "MODE", "value": "fast"}],
        "tokens_per_s": 3,
        "auth_token": ["..."],
        "ssh_private_key": "~/k",
        "file_mounts": {"~/.aws/credentials": "~/mine/credentials"},
    }


FILE = """
cluster_name: one
provider: {type: aws, region: eu-central-1}
auth: {ssh_user: ubuntu, ssh_private_key: ~/k.pem, ssh_proxy_command: "sshpass -p hunter2 ssh gate"}
setup_commands: ["export HF_TOKEN=hunter2", "pip install git+https://hunter2@git.example.com/x"]
docker: {image: x, container_name: c, run_options: ["-e DB_PASSWORD=hunter2", "--shm-size=1g"]}
head_node_type: head
available_node_types:
  head:
    resources: {CPU: 2}
    node_config: {InstanceType: m5.large, UserData: "export KEY=hunter2"}
  worker:
    resources: {CPU: 2}
    node_config: {InstanceType: m5.large}
    worker_setup_commands: ["curl -H 'Authorization: Bearer hunter2' https://h"]
    docker: {worker_run_options: ["-e", "API_KEY=hunter2"]}
"""


def test_a_cluster_is_shown_without_the_secrets_of_its_commands_and_options() -> None:
    shown = show(load(FILE, registry(), "one.yaml"))
    text = json.dumps(shown)
    assert "hunter2" not in text
    assert shown["bootstrap"]["docker"]["run_options"] == ["-e DB_PASSWORD=...", "--shm-size=1g"]
    assert shown["bootstrap"]["auth"]["ssh_private_key"] == "~/k.pem"
    assert shown["types"]["worker"]["setup_commands"] == ["curl -H 'Authorization: ...' https://h"]
