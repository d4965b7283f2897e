"""What a file says about set-up, in the order that Ray's users know; and what makes it another recipe."""

from dataclasses import replace

import pytest
from tests.unit.bootstrap.clusters import EXTRA, START, head_recipe, worker_recipe

from rayfleet.bootstrap.recipe import Extra
from rayfleet.bootstrap.steps import Put, Recipe, Run, Start, Step, Where, Write

FILE = """
initialization_commands: [init]
setup_commands: [first]
head_setup_commands: [head then]
worker_setup_commands: [worker then]
file_mounts: {"~/data": "/laptop/data", "/opt/conf": "./conf"}
cluster_synced_files: [/shared/x]
rsync_exclude: ["*.pyc"]
rsync_filter: [.gitignore]
"""


def told(steps: tuple[Step, ...]) -> list[str]:
    """Return the steps as a reader would."""
    return [step.command if isinstance(step, Run) else step.name for step in steps if "folders" not in step.name]


def puts(recipe: Recipe) -> list[Put]:
    return [step for step in recipe.setup if isinstance(step, Put)]


def test_the_order_on_the_head_and_on_workers() -> None:
    assert told(head_recipe(FILE).setup) == ["files ~/data", "files /opt/conf", "init", "first", "head then"]
    assert told(worker_recipe(FILE).setup) == [
        "files ~/data",
        "files /opt/conf",
        "files /shared/x",
        "init",
        "first",
        "worker then",
    ]


def test_files_come_from_the_user_to_the_head_and_from_there_to_workers() -> None:
    head, worker = puts(head_recipe(FILE)), puts(worker_recipe(FILE))
    assert [(put.files.source, put.files.target) for put in head] == [
        ("/laptop/data", "~/data"),
        ("./conf", "/opt/conf"),
    ]
    assert [(put.files.source, put.optional) for put in worker] == [
        ("~/data", False),
        ("/opt/conf", False),
        ("/shared/x", True),
    ]
    assert {(put.files.exclude, put.files.filters) for put in (*head, *worker)} == {(("*.pyc",), (".gitignore",))}


def test_a_workers_type_replaces_what_the_file_says_for_all() -> None:
    own = """
setup_commands: [for all]
initialization_commands: [for all]
available_node_types:
  head: {}
  cpu: {worker_setup_commands: [mine], initialization_commands: [my init], max_workers: 1}
"""
    from tests.unit.bootstrap.clusters import CLOUD

    from rayfleet.bootstrap.recipe import recipe
    from rayfleet.config import load

    found = load(f"cluster_name: demo\nprovider: {{type: nimbus}}\nhead_node_type: head\n{own}", {"nimbus": CLOUD}, "f")
    worker = recipe(found, found.policy.pools[0], START, EXTRA, head=False)
    assert found.policy.head is not None
    head = recipe(found, found.policy.head, START, EXTRA, head=True)
    assert told(worker.setup) == ["my init", "mine"]
    assert told(head.setup) == ["for all", "for all"]


def test_docker_comes_between_the_machine_and_its_node() -> None:
    found = worker_recipe(FILE + "docker: {image: img, container_name: box}\n")
    where = [(step.name, step.on if isinstance(step, Run) else Where.MACHINE) for step in found.setup]
    assert where == [
        ("folders for files", Where.MACHINE),
        ("files ~/data", Where.MACHINE),
        ("files /opt/conf", Where.MACHINE),
        ("files /shared/x", Where.MACHINE),
        ("initialization init", Where.MACHINE),
        ("image img", Where.MACHINE),
        ("container box", Where.MACHINE),
        ("~/data into the container", Where.MACHINE),
        ("/opt/conf into the container", Where.MACHINE),
        ("/shared/x into the container", Where.MACHINE),
        ("setup first", Where.NODE),
        ("setup worker then", Where.NODE),
    ]
    assert [put.files.target for put in puts(found)] == [f"~/.rayfleet/demo/files/{n}" for n in (1, 2, 3)]


def test_the_start_brings_the_token_first_and_never_shows_it() -> None:
    found = worker_recipe()
    assert told(found.start)[:2] == ["token", "variables"]
    assert told(found.start)[-1] == "ray start --here"
    token = found.start[0]
    assert isinstance(token, Write)
    assert (token.path, token.content, token.mode) == ("~/.rayfleet/demo/ray-token", b"secret-token", 0o600)
    assert "secret-token" not in repr(found)


def test_what_is_put_before_the_start() -> None:
    extra = replace(EXTRA, before_start=(Run("before", "b"),))
    found = head_recipe(extra=extra)
    assert told(found.start).index("before") < told(found.start).index("ray start --here")


def test_which_steps_start_the_engine() -> None:
    found = head_recipe("setup_commands: [a]", Start(("one", "two"), beside=(Run("watch", "w"),)))
    starting = [step.command for step in (*found.setup, *found.start) if isinstance(step, Run) and step.starts]
    assert starting == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "setup", "start"),
    [
        ("setup_commands: [b]", True, True),
        ("initialization_commands: [b]", True, True),
        ("docker: {image: b}", True, True),
        ("file_mounts: {/b: /b}", True, True),
        ("setup_commands: [a]\nmax_workers: 7", False, False),
        ("setup_commands: [a]\nhead_setup_commands: [b]", False, False),  # nothing to a worker
    ],
)
def test_what_makes_it_another_setup(text: str, setup: bool, start: bool) -> None:
    before, after = worker_recipe("setup_commands: [a]"), worker_recipe(text)
    assert (before.setup_digest != after.setup_digest, before.start_digest != after.start_digest) == (setup, start)


def test_users_start_commands_make_it_another_start_and_ours_do_not() -> None:
    before = worker_recipe()
    ours = worker_recipe(start=Start(("ray start --newer-flag",)), extra=Extra("new token"))
    users = worker_recipe(start=Start(("ray start",), (), ("ray start",)))
    assert ours.start_digest == before.start_digest  # a newer rayfleet restarts nothing
    assert users.setup_digest == before.setup_digest
    assert users.start_digest != before.start_digest
