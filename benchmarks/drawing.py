"""What all pictures of measurements share: colours that are light or dark as the reader's screen is, words, lines."""

from __future__ import annotations

from html import escape
from typing import Final

STYLE: Final = """<style>
svg{--bg:#fff;--ink:#1c2233;--soft:#5c6480;--line:#e3e6ef;--band:#f5f6fa;--own:#0067b1;--slow:#2f9ccf;--v2:#d55e00;
--v1:#a88100;font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
@media (prefers-color-scheme:dark){svg{--bg:#12151d;--ink:#e8ebf4;--soft:#a2abc2;--line:#2c3344;--band:#181d28;
--own:#62b0f2;--slow:#9fd8f7;--v2:#ff9a4d;--v1:#e3c04c}}
.bg{fill:var(--bg)}.band{fill:var(--band)}text{fill:var(--soft);font-size:12px}.h1{fill:var(--ink);font-size:21px;font-weight:700}
.h2{fill:var(--ink);font-size:15px;font-weight:650}.name{fill:var(--ink)}.grid{stroke:var(--line)}.base{stroke:var(--soft)}
.linear{stroke:var(--soft);stroke-dasharray:4 4}.own{fill:var(--own);stroke:var(--own)}
.slow{fill:var(--bg);stroke:var(--slow);stroke-width:2}
.v2{fill:var(--v2);stroke:var(--v2)}.v1{fill:var(--bg);stroke:var(--v1);stroke-width:2}.curve{fill:none;stroke:var(--own);stroke-width:2}
.value{fill:var(--own);font-weight:650}
</style>"""


def text(x: float, y: float, words: str, css: str = "", *, anchor: str = "start") -> str:
    """Return words at a place."""
    named = f' class="{css}"' if css else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def line(a: tuple[float, float], b: tuple[float, float], css: str = "grid") -> str:
    """Return a line from `a` to `b`."""
    return f'<line class="{css}" x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}"/>'


def dot(x: float, y: float, css: str, said: str = "") -> str:
    """Return a mark; `said` is its tooltip."""
    told = f"<title>{escape(said)}</title>" if said else ""
    return f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">{told}</circle>'


def in_seconds(value: float) -> str:
    """Return a time in words."""
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def in_short(count: float) -> str:
    """Return a count in words: 1k, 2.5M."""
    for limit, unit in ((1_000_000, "M"), (1_000, "k")):
        if count >= limit:
            return f"{count / limit:g}{unit}"
    return f"{count:g}"
