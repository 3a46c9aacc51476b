"""Style sheet of the report's page, for a phone and a wide screen, light and dark."""

STYLE = """
:root { color-scheme: light dark; --page: #fbfbfa; --text: #1d2126; --soft: #5b636d;
  --line: #dfe2e6; --panel: #ffffff; --s0: #1660c4; --s1: #c2570c; --s2: #8a3ea8; --s3: #23794a;
  --s4: #6b6b1e; --good: #1b7a43; --bad: #b3261e; --chance: #3d444d; }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --text: #e6e8eb; --soft: #a0a8b2;
  --line: #333a43; --panel: #1b1f25; --s0: #6cb0ff; --s1: #ff9e57; --s2: #d59bf0; --s3: #6fd39b;
  --s4: #d8d36a; --good: #6fd39b; --bad: #ff8a80; --chance: #c3c9d1; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; background: var(--page);
  color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .7rem; }
h3 { font-size: 1rem; margin: 1.3rem 0 .4rem; }
p { margin: .5rem 0; }
.soft, small, figcaption { color: var(--soft); font-size: .875rem; }
.panel { background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: .9rem 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .35rem .5rem; border-bottom: 1px solid var(--line);
  vertical-align: top; white-space: nowrap; }
th { font-weight: 600; white-space: normal; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; white-space: normal; }
tr.role td { font-weight: 600; padding-top: 1rem; white-space: normal; }
tr.role span { position: sticky; left: .5rem; display: inline-block;
  max-width: calc(100vw - 5rem); }
tr.mean td { font-weight: 600; }
td small { display: block; font-weight: 400; }
td.text { white-space: normal; text-align: left; overflow-wrap: anywhere; }
.row { display: grid; grid-template-columns: 11.5rem 1fr 3.3rem; align-items: center; gap: .9rem; }
.row + .row { border-top: 1px solid var(--line); }
.row .name { line-height: 1.2; padding: .2rem 0; overflow-wrap: break-word;
  min-width: 0; }
.row .name small { display: block; font-size: .8rem; }
.row .value { text-align: right; font-weight: 600; color: var(--s0);
  font-variant-numeric: tabular-nums; }
.row.axis { border-top: 0; }
svg { overflow: visible; display: block; }
svg.lane, svg.plot { width: 100%; }
svg.plot { margin: .6rem 0 1.8rem; }
figure { margin: 0 0 0 2.2rem; }
svg text { fill: var(--soft); font-size: 12px; }
.grid { stroke: var(--line); stroke-width: 1; }
.chance { stroke: var(--chance); stroke-width: 2; }
.majority { stroke: var(--chance); stroke-width: 2; stroke-dasharray: 2 3; }
.bar { stroke: currentColor; stroke-width: 2.5; stroke-linecap: round; opacity: .6; }
.fill { fill: currentColor; } .dot { fill: currentColor; opacity: .55; }
.hollow { fill: var(--panel); stroke: currentColor; stroke-width: 2; }
.curve { fill: none; stroke: var(--s0); stroke-width: 1.8; vector-effect: non-scaling-stroke; }
.s0 { color: var(--s0); } .s1 { color: var(--s1); } .s2 { color: var(--s2); }
.s3 { color: var(--s3); } .s4 { color: var(--s4); }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; padding: 0; margin: .4rem 0 .8rem;
  list-style: none; font-size: .9rem; }
.legend li { display: flex; align-items: center; gap: .4rem; }
details { border: 1px solid var(--line); border-radius: 8px; background: var(--panel);
  margin: .5rem 0; padding: 0 1rem; }
summary { cursor: pointer; padding: .6rem 0; font-weight: 600; }
details > :last-child { margin-bottom: 1rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere;
  font: .875rem/1.45 ui-monospace, "DejaVu Sans Mono", monospace;
  background: var(--page); border: 1px solid var(--line); border-radius: 6px;
  padding: .6rem .7rem; margin: .4rem 0; }
.right { color: var(--good); font-weight: 600; } .wrong { color: var(--bad); font-weight: 600; }
details .row { margin-top: 1.1rem; } details > .row:nth-child(2) { margin-top: 0; }
details .row + .soft { margin-top: .1rem; }
.options { table-layout: fixed; } .options th:nth-child(2) { width: 7rem; }
.options th:nth-child(3) { width: 35%; }
[hidden] { display: none !important; }
h2 { scroll-margin-top: .5rem; }
.for { color: var(--good); } .against { color: var(--bad); } .neither { color: var(--soft); }
.tasks td:first-child { min-width: 10.5rem; }
svg.difference { margin: .15rem 0 .15rem auto; }
.filters { display: grid; gap: .55rem .8rem; grid-template-columns: repeat(3, minmax(0, 1fr)); }
.filters label { display: grid; gap: .15rem; font-size: .8rem; color: var(--soft);
  font-weight: 600; min-width: 0; }
.filters .wide { grid-column: 1 / -1; }
input, select, button { font: inherit; font-size: .9rem; font-weight: 400; color: var(--text);
  background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
  padding: .36rem .5rem; width: 100%; min-width: 0; }
button { width: auto; cursor: pointer; padding: .36rem .9rem; }
button:disabled { opacity: .5; cursor: default; }
:focus-visible { outline: 2px solid var(--s0); outline-offset: 2px; border-radius: 3px; }
.example { margin: .7rem 0; }
.example h3 { margin: 0; overflow-wrap: anywhere; }
.verdicts { display: flex; flex-wrap: wrap; gap: 0 1.2rem; margin: .1rem 0 .3rem;
  font-size: .9rem; }
table.choices { table-layout: auto; }
.choices th:nth-child(n), .choices td:nth-child(n) { width: auto; }
.choices th:nth-child(n+2), .choices td:nth-child(n+2) { width: 7.5rem; }
.choices .right, .choices .wrong { color: var(--good); } .choices .wrong { color: var(--bad); }
.choices small.right, .choices small.wrong { font-weight: 600; }
.expected { color: var(--soft); font-size: .8rem; border: 1px solid var(--line);
  border-radius: 4px; padding: 0 .3rem; white-space: nowrap; }
@media (max-width: 560px) {
  .filters { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
  .filters label:last-child { grid-column: 1 / -1; }
  .choices th:nth-child(n+2), .choices td:nth-child(n+2) { width: 4.6rem; }
  svg.difference { width: 4.5rem; } .differences td small { max-width: none; white-space: nowrap; }
  .choices td:first-child { min-width: 5.5rem; } .tasks td:first-child { min-width: 7.5rem; }
 .row { grid-template-columns: 6.8rem 1fr 3.3rem; gap: .6rem; }
  .row .name { font-size: .85rem; } th, td { padding: .3rem .25rem; font-size: .85rem; }
  td small { font-size: .75rem; white-space: normal; max-width: 3.2rem; margin-left: auto; }
  th { font-size: .78rem; }
  .options th:nth-child(2) { width: 4rem; } }
"""
