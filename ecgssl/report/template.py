"""Style of reports: that of every page, and what charts, gaps and checklists need beyond it."""

from __future__ import annotations

from ecgssl.html.page import STYLE as PAGE_STYLE

STYLE = (
    PAGE_STYLE
    + """
h1 { overflow-wrap: anywhere; }
h4 { font-size: 14px; margin: 12px 0 2px; break-after: avoid; }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 14px 0 0; font-size: 14px; }
a { color: var(--blue); }
table .ci, .ci { color: var(--soft); font-weight: normal; }
table b { font-weight: 650; }
table.facts th { width: 190px; font-weight: 600; padding-right: 16px; }
table.facts.card th { width: 42%; }
.absent { color: var(--soft); border-left: 4px solid var(--line); padding: 4px 12px; max-width: none; }
.absent.warn { color: var(--ink); border-color: var(--amber); }
.gap { background: #fff3c4; color: #5c4300; border: 1px dashed #b58900; border-radius: 3px; padding: 1px 6px; font-size: 13px;
  box-decoration-break: clone; -webkit-box-decoration-break: clone; }
td > .gap { white-space: nowrap; } .card td > .gap { white-space: normal; }
.pairs { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 430px), 1fr)); gap: 10px 34px; }
.pair { break-inside: avoid; min-width: 0; }
.pair > div { display: grid; grid-template-columns: 1fr 1fr; gap: 6px; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 6px 22px;
  margin: 8px 0; }
.panels > div { break-inside: avoid; min-width: 0; }
svg.panel { max-width: 340px; } svg.forest { max-width: 760px; margin: 4px 0 10px; }
svg .name { text-anchor: end; fill: var(--ink); }
svg .line { fill: none; stroke-width: 1.8; }
svg .line.thin { stroke-width: 1.1; }
svg .line.main { stroke: var(--blue); } svg .line.base { stroke: #7b8791; stroke-dasharray: 6 3; }
svg .line.other { stroke: var(--orange); stroke-dasharray: 2 2; stroke-width: 1.4; }
svg .line.chance { stroke: #9aa6ae; stroke-dasharray: 1.5 3; stroke-width: 1.2; }
svg .dot.main { fill: var(--blue); } svg .dot.base { fill: #fff; stroke: #7b8791; stroke-width: 1.4; }
svg .dot.other { fill: var(--orange); }
svg .whisker { stroke-width: 1.6; } svg .whisker.main { stroke: var(--blue); } svg .whisker.base { stroke: #7b8791; }
svg .whisker.other { stroke: var(--orange); }
.legend i.key { width: 22px; height: 0; border-top: 3px solid var(--blue); vertical-align: 4px; background: none; }
.legend i.key.base { border-top: 3px dashed #7b8791; } .legend i.key.other { border-top: 3px dotted var(--orange); }
.heat { display: block; margin: -5px 0 -5px; padding: 5px 8px;
  background: color-mix(in srgb, #7fb2e5 calc(100% * var(--share)), #fff); }
.scroll:focus-visible { outline: 2px solid var(--blue); }
@media (max-width: 560px) {
  table.facts th, table.facts td { display: block; width: auto; border: 0; padding: 2px 0; }
  table.facts.card th { width: auto; }
  table.facts tr { display: block; border-bottom: 1px solid var(--line); padding: 5px 0; }
  .panels { grid-template-columns: 1fr 1fr; gap: 4px 8px; }
  svg.panel text { font-size: 13.5px; }
  svg.forest { width: 620px; }
  figure { overflow-x: auto; }
  figure img { width: 760px; max-width: none; }
  figcaption { position: sticky; left: 0; }
  .parts { grid-template-columns: repeat(auto-fit, minmax(96px, 1fr)); }
}
@media print {
  nav { display: none; }
  a { color: inherit; text-decoration: none; }
  .panels { grid-template-columns: repeat(3, 1fr); }
  .pairs { grid-template-columns: 1fr 1fr; gap: 6px 18px; }
  figure { margin: 10px 0; }
  thead { display: table-header-group; }
}
"""
)
