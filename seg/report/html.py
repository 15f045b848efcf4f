"""A result as one HTML file: no script, nothing loaded from elsewhere, light or dark as the reader's system is."""

import base64
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

import cv2

from seg.evaluate import Result
from seg.files import UInt8Array
from seg.label_sets import LabelSet
from seg.report.examples import Example
from seg.report.facts import (
    IouRow,
    IouTable,
    LatencyRow,
    details,
    headline,
    iou_tables,
    latency_rows,
    milliseconds,
    percent,
    title,
    warm_up,
)
from seg.visualize import overlay

_JPEG_QUALITY = 88

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --card: #f5f6f8; --ink: #1b1f24; --faint: #667080; --line: #dfe3e8; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --card: #1d2127; --ink: #e6e9ed; --faint: #98a2b0; --line: #323842; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 2.5rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
p { margin: .25rem 0; }
.faint, figcaption { color: var(--faint); font-size: .9rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .75rem; margin-top: 1.5rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .8rem 1rem; }
.card b { display: block; font-size: 1.6rem; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--faint); font-weight: 500; }
td.number, th.number { text-align: right; width: 5.5rem; }
td.bar { width: 60%; vertical-align: middle; }
.bar div { height: .8rem; border-radius: 3px; min-width: 1px; }
tr.sum td { font-weight: 600; border-bottom: 0; }
.swatch { display: inline-block; width: .8rem; height: .8rem; border-radius: 3px; margin-right: .45rem;
  vertical-align: -1px; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin-bottom: .9rem; font-size: .9rem; }
.example { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: .6rem;
  margin-bottom: 1.4rem; }
figure { margin: 0; }
img { width: 100%; display: block; border-radius: 6px; }
"""


def to_html(result: Result, examples: Sequence[Example] = ()) -> str:
    """Returns the whole page; of each example it shows frame, truth where there is one, and prediction."""
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    name = escape(title(result))
    body = [f"<h1>{name}</h1>", f'<p class="faint">{escape(result.network)}, {when}</p>', _cards(result)]
    for ious in iou_tables(result):
        body += [f"<h2>IoU per {ious.what}</h2>", _iou_table(ious)]
    if latency_rows(result):
        body += [f'<h2>Latency</h2><p class="faint">Milliseconds per frame, {escape(warm_up(result))}.</p>',
                 _latency_table(result)]
    if result.video is not None and len(result.video.over_time) > 1:
        body += ["<h2>Latency over time</h2>", _chart(result.video.over_time)]
    if examples:
        body += ["<h2>Examples</h2>", _legend(result.label_set), *(_example(one, result.label_set) for one in examples)]
    body += ["<h2>What ran on what</h2>", _table((escape(what), escape(value)) for what, value in details(result))]
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{name}</title>\n'
            f"<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(body) + "\n</body>\n</html>\n")


def _cards(result: Result) -> str:
    cards = [*((name, f"{percent(value)} %") for name, value in headline(result)), ("frames", str(result.frames))]
    latency = result.latency.summary()
    if latency:
        cards += [("median per frame", f"{latency['p50']:.1f} ms"), ("99th percentile", f"{latency['p99']:.1f} ms")]
    return '<div class="cards">' + "".join(f'<div class="card"><b>{value}</b><span class="faint">{name}</span></div>'
                                           for name, value in cards) + "</div>"


def _iou_table(ious: IouTable) -> str:
    def numbers(row: IouRow) -> str:
        return "".join(f'<td class="number">{percent(value)}</td>' for value in (row.iou, row.iiou)[: 1 + ious.has_iiou])

    rows = [f'<tr><td>{_swatch(row.color)}{escape(row.name)}</td>{numbers(row)}<td class="bar"><div style="width:'
            f'{0 if row.iou != row.iou else 100 * row.iou:.1f}%;background:rgb{row.color}"></div></td></tr>' for row in ious.rows]
    mean = f'<tr class="sum"><td>{ious.mean.name}</td>{numbers(ious.mean)}<td></td></tr>'
    heads = "".join(f'<th class="number">{head}</th>' for head in ("IoU [%]", "iIoU [%]")[: 1 + ious.has_iiou])
    return f"<table><tr><th>{ious.what}</th>{heads}<th></th></tr>{''.join(rows)}{mean}</table>"


def _latency_table(result: Result) -> str:
    names = "".join(f'<th class="number">{name}</th>' for name in LatencyRow._fields[1:])
    head = f"<tr><th>stage</th>{names}</tr>"
    rows = "".join(f'<tr{" class=sum" if row.stage == "total" else ""}><td>{escape(row.stage)}</td>'
                   + "".join(f'<td class="number">{value}</td>' for value in milliseconds(row[1:])) + "</tr>"
                   for row in latency_rows(result))
    return f"<table>{head}{rows}</table>"


def _chart(over_time: Sequence[tuple[float, float, float]]) -> str:
    """Returns lines of the predictor's latency and, where it is known, of that from glass to glass, over a video's time."""
    width, height, left, bottom = 1000, 240, 60, 30
    start_s, end_s = over_time[0][0], over_time[-1][0]
    named = [("predictor", "#3b82f6", [(row[0], row[1]) for row in over_time]),
             ("glass to glass", "#f59e0b", [(row[0], row[2]) for row in over_time if not math.isnan(row[2])])]
    top_ms = max(value for _, _, line in named for _, value in line) * 1.05
    parts = []
    for ms in (0, top_ms / 2, top_ms):
        y = (height - bottom) * (1 - ms / top_ms)
        parts.append(f'<line x1="{left}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>'
                     f'<text x="{left - 8}" y="{y + 12:.1f}" text-anchor="end">{ms:.0f}</text>')
    for _, color, line in named:
        points = " ".join(f"{left + (at - start_s) / max(end_s - start_s, 1e-9) * (width - left):.1f},"
                          f"{(height - bottom) * (1 - value / top_ms):.1f}" for at, value in line)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>')
    parts += [f'<text x="{left}" y="{height - 6}">{start_s:.1f} s</text>',
              f'<text x="{width}" y="{height - 6}" text-anchor="end">{end_s:.1f} s</text>']
    legend = "".join(f'<span><span class="swatch" style="background:{color}"></span>{name} [ms]</span>'
                     for name, color, line in named if line)
    return (f'<div class="legend">{legend}</div><svg viewBox="0 0 {width} {height}" role="img" aria-label="latency over time" '
            f'style="width:100%;font-size:13px;fill:var(--faint)">{"".join(parts)}</svg>')


def _table(rows: Iterable[Sequence[str]]) -> str:
    lines = ("".join(f"<td>{cell}</td>" for cell in row) for row in rows)
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _legend(label_set: LabelSet) -> str:
    return '<div class="legend">' + "".join(f"<span>{_swatch(color)}{escape(name)}</span>" for name, color in
                                            zip(label_set.classes, label_set.colors, strict=True)) + "</div>"


def _example(example: Example, label_set: LabelSet) -> str:
    pictures = [("frame", example.frame_bgr)]
    if example.truth is not None:
        pictures.append(("truth", overlay(example.frame_bgr, example.truth, label_set)))
    pictures.append(("prediction", overlay(example.frame_bgr, example.prediction, label_set)))
    figures = "".join(f'<figure><img src="{_data_url(picture)}" alt="{what} of {escape(example.name)}">'
                      f"<figcaption>{what}</figcaption></figure>" for what, picture in pictures)
    return f'<p class="faint">{escape(example.name)}</p><div class="example">{figures}</div>'


def _swatch(color: tuple[int, int, int]) -> str:
    return f'<span class="swatch" style="background:rgb{color}"></span>'


def _data_url(picture_bgr: UInt8Array) -> str:
    _, data = cv2.imencode(".jpg", picture_bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
