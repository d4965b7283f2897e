"""`run`: what cannot be run ends as a shell would end it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from rayfleet.cli.app import app
from rayfleet.engines.ray.settings import new_settings
from rayfleet.launcher import home as homes


@pytest.mark.parametrize(
    ("name", "mode", "code", "message"),
    [
        ("missing", None, 127, "there is no command"),
        ("closed", 0o600, 126, "may not be run"),
        ("no-program", 0o700, 126, "cannot be run: Exec format error"),
    ],
)
def test_what_cannot_be_run(
    name: str, mode: int | None, code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    home = homes.create("one")
    home.write(home.config, "cluster_name: one\n")
    home.write(home.controller, "{}")
    new_settings("one", home.path, preferred_default=False).save()
    program = tmp_path / name
    if mode is not None:
        program.write_text("neither a shebang nor a binary")
        program.chmod(mode)
    result = CliRunner().invoke(app, ["run", "--cluster", "one", "--", str(program)], prog_name="rayfleet")
    assert (result.exit_code, message in result.stderr) == (code, True)
