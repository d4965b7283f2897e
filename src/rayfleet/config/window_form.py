"""Windows of time in files: a cron line, a time zone and a duration, checked word by word."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import BeforeValidator, Field

from rayfleet.config.fields import number, word, wrong
from rayfleet.config.forms import Form
from rayfleet.config.problems import did_you_mean, shown
from rayfleet.model import Window

DURATION_MAX_S: Final = 366 * 86400
_FIELDS: Final = ("minute", "hour", "day of the month", "month", "day of the week")
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


def cron_line(value: Any) -> str:
    """Take a cron line of five fields that fires some day."""
    text = " ".join(word(value).split())
    if len(text.split(" ")) != len(_FIELDS):
        raise wrong(f"must have five fields ({', '.join(_FIELDS)}), not {shown(value)}", 'such as "0 8 * * MON-FRI"')
    try:
        first = next(CronSim(text, _EPOCH), None)
    except CronSimError as error:
        raise wrong(f"is no cron line: {str(error)[:1].lower()}{str(error)[1:]} in {shown(value)}") from None
    if first is None:
        raise wrong(f"never fires: {shown(value)}")
    return text


def time_zone(value: Any) -> str:
    """Take the name of a time zone."""
    name = word(value)
    try:
        ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        hint = did_you_mean(name, sorted(available_timezones())) or "such as UTC or Europe/Berlin"
        raise wrong(f"there is no time zone {shown(value)}", hint) from None
    return name


def duration_s(value: Any) -> int | float:
    """Take the length of a window: more than nothing, a year at most."""
    taken = number(value)
    if not 0 < taken <= DURATION_MAX_S:
        raise wrong(f"must be more than 0 and at most {DURATION_MAX_S:,} (a year), not {shown(value)}")
    return taken


CronLine = Annotated[str, BeforeValidator(cron_line)]
TimeZone = Annotated[str, BeforeValidator(time_zone)]
DurationS = Annotated[float, Field(gt=0, le=DURATION_MAX_S), BeforeValidator(duration_s)]


class WindowForm(Form):
    """A stretch of time that comes back: opens when `cron` fires (in `time_zone`), stays open for `duration_s`."""

    cron: CronLine
    """When it opens: minute, hour, day of the month, month, day of the week, such as `0 8 * * MON-FRI`."""
    duration_s: DurationS
    """For how many seconds it stays open."""
    time_zone: TimeZone = "UTC"
    """Whose clock `cron` is read on, such as Europe/Berlin."""


def window(form: WindowForm) -> Window:
    """Return the model's value; forms that extend this one keep their other keys to themselves."""
    return Window(form.cron, form.duration_s, form.time_zone)


def window_to_json(value: Window) -> dict[str, Any]:
    """Return what `window` reads back."""
    row: dict[str, Any] = {"cron": value.cron, "duration_s": value.duration_s}
    return row if value.time_zone == "UTC" else {**row, "time_zone": value.time_zone}
