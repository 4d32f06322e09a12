"""Frame and style of every page that is written as a file: nothing loaded from anywhere, no script."""

from __future__ import annotations

from string import Template

_FRAME = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; ${images}style-src 'unsafe-inline'">
<meta name="robots" content="noindex">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
$body
</main>
</body>
</html>
""")

STYLE = """
:root { color-scheme: light; --ink: #18242f; --soft: #55646f; --line: #d9e0e5; --wash: #f4f7f9;
  --blue: #2b6cb0; --orange: #c26a1b; --grey: #98a4ad; --red: #b3261e; --amber: #9a6400; --green: #1f7a4d; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 28px 22px 60px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 40px 0 8px; padding-top: 14px; border-top: 2px solid var(--ink); break-after: avoid; }
h3 { font-size: 15px; margin: 18px 0 4px; break-after: avoid; }
p { margin: 6px 0; max-width: 76ch; }
.soft, figcaption, caption { color: var(--soft); }
.verdict { margin: 18px 0; padding: 12px 16px; border-left: 6px solid var(--green); background: var(--wash); font-size: 17px; }
.verdict.rejected { border-color: var(--amber); }
.verdict.table { border-color: var(--red); }
.verdict b { display: block; font-size: 19px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 10px; margin: 14px 0; }
.tiles div { border: 1px solid var(--line); border-radius: 6px; padding: 8px 12px; }
.tiles b { display: block; font-size: 24px; font-variant-numeric: tabular-nums; line-height: 1.25; }
.flow { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 7fr); gap: 0 26px; margin: 14px 0; max-width: 860px; }
.flow .step, .flow .out { border: 1.5px solid var(--ink); border-radius: 4px; padding: 8px 12px; background: #fff; }
.flow > .step { grid-column: 1; }
.flow .out { border-color: var(--amber); margin: 10px 0; }
.flow .out.none { border-color: var(--line); color: var(--soft); }
.flow .line { position: relative; grid-column: 1; min-height: 26px; margin-left: 28px; border-left: 1.5px solid var(--soft); }
.flow .line.aside::after { content: ""; position: absolute; left: 0; right: -26px; top: 50%;
  border-top: 1.5px solid var(--soft); }
.flow ul { margin: 2px 0 0; padding-left: 18px; }
.parts { display: grid; grid-template-columns: repeat(auto-fit, minmax(120px, 1fr)); gap: 8px; grid-column: 1 / -1; }
.parts .step b { display: block; }
.scroll { overflow-x: auto; margin: 10px 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
caption { text-align: left; padding-bottom: 4px; }
th, td { text-align: left; vertical-align: top; padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); }
thead th { border-bottom: 1.5px solid var(--ink); white-space: nowrap; vertical-align: bottom; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.rows { color: var(--soft); font-variant-numeric: tabular-nums; min-width: 180px; }
tr { break-inside: avoid; }
code { font: 13px/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: var(--wash); padding: 0 4px;
  border-radius: 3px; overflow-wrap: anywhere; }
td code { white-space: nowrap; }
.few { color: var(--amber); }
.few::after { content: " \\25B2"; font-size: 9px; vertical-align: 2px; }
small { color: var(--soft); }
.bar { display: inline-block; width: 84px; height: 10px; background: var(--wash); border: 1px solid var(--line);
  vertical-align: 0; }
.bar i { display: block; height: 100%; background: var(--blue); }
ul.told { padding-left: 20px; margin: 6px 0; max-width: 90ch; }
ul.told li { margin: 4px 0; }
ul.told .rows { color: var(--soft); font-size: 13px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(290px, 1fr)); gap: 8px 34px; }
.charts.two { grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); }
.charts > div { min-width: 0; break-inside: avoid; }
svg.chart { width: 100%; height: auto; max-width: 520px; display: block; }
svg text { font-size: 11.5px; fill: var(--soft); }
svg .num { text-anchor: end; } svg .bin { text-anchor: middle; } svg .axis { fill: var(--ink); }
svg .grid { stroke: var(--line); stroke-width: 1; }
.s0 { fill: var(--blue); background: var(--blue); } .s1 { fill: var(--orange); background: var(--orange); }
.s2 { fill: var(--grey); background: var(--grey); }
.legend { font-size: 13px; } .legend span { margin-right: 16px; white-space: nowrap; }
.legend i { display: inline-block; width: 11px; height: 11px; margin-right: 5px; vertical-align: -1px; }
figure { margin: 18px 0; break-inside: avoid; }
figure img { width: 100%; height: auto; border: 1px solid var(--line); display: block; }
footer { margin-top: 44px; padding-top: 12px; border-top: 1px solid var(--line); font-size: 13px; color: var(--soft); }
@media (max-width: 560px) {
  main { padding: 18px 14px 40px; }
  .flow { gap: 0 14px; grid-template-columns: minmax(0, 4fr) minmax(0, 5fr); font-size: 13.5px; }
  .flow .line { margin-left: 14px; }
  .flow .line.aside::after { right: -14px; }
  .flow .step, .flow .out { padding: 6px 8px; }
  th, td { padding-right: 8px; }
  table.cards thead { display: none; }
  table.cards tr { display: block; border-bottom: 1px solid var(--line); padding: 6px 0; }
  table.cards td { display: block; border: 0; padding: 1px 0; text-align: left; min-width: 0; }
  table.cards td[data-name]::before { content: attr(data-name) " "; color: var(--soft); }
}
@media print {
  @page { margin: 14mm; }
  body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  h2 { margin-top: 22px; }
  table { font-size: 9pt; }
  .scroll { overflow: visible; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def page(title: str, style: str, body: str, *, images: bool = True) -> str:
    """A whole page.

    Args:
        title: as text of HTML.
        style: ``STYLE``, and what the page needs beyond it.
        body: of ``main``.
        images: whether it holds any, as ``data:``.
    """
    return _FRAME.substitute(title=title, style=style, body=body, images="img-src data:; " if images else "")
