// SPDX-License-Identifier: Apache-2.0
#include "core/export/report/report_style.h"

namespace lqer {

const char *const reportStyle = R"(
:root { color-scheme: light dark; --page: #ffffff; --panel: #f6f7f9; --ink: #1a1f26; --soft: #5b6572; --rule: #d9dee5;
  --before: #d98324; --after: #1f5fd0; --other: #8a93a0; --heat: #c2410c; --kept: #1f5fd014; --good: #14713d; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --page: #14181d; --panel: #1c2229; --ink: #e6eaf0; --soft: #9aa5b3; --rule: #333c47;
  --before: #f0a24e; --after: #7aa9ff; --other: #77818e; --heat: #f2793a; --kept: #7aa9ff1f; --good: #6fd39b; --bad: #ff8f85; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 24px 56px; }
h1 { font-size: 30px; line-height: 1.2; margin: 2px 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 20px; margin: 44px 0 6px; padding-top: 14px; border-top: 1px solid var(--rule); }
h3 { font-size: 15px; margin: 0 0 6px; overflow-wrap: anywhere; } h3.next { margin-top: 22px; }
p { margin: 6px 0 12px; max-width: 78ch; }
.kicker { color: var(--soft); font-size: 13px; letter-spacing: .04em; text-transform: uppercase; margin: 0; }
.sub { color: var(--soft); margin: 0 0 14px; max-width: none; overflow-wrap: anywhere; }
.verdict { font-size: 17px; line-height: 1.45; margin: 0 0 18px; max-width: 100ch; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(158px, 1fr)); gap: 12px; margin: 0 0 18px; }
.card { background: var(--panel); border: 1px solid var(--rule); border-radius: 10px; padding: 11px 14px 12px; }
.card .label { color: var(--soft); font-size: 13px; }
.card .value { font-size: 26px; line-height: 1.25; font-weight: 650; font-variant-numeric: tabular-nums; white-space: nowrap; }
.card .note { color: var(--soft); font-size: 13px; line-height: 1.4; }
.good { color: var(--good); } .bad { color: var(--bad); }
.pair { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 400px), 1fr)); gap: 18px 28px; align-items: start; }
figure { margin: 0; min-width: 0; }
figcaption { color: var(--soft); font-size: 13px; margin-top: 4px; }
svg { display: block; width: 100%; height: auto; font-family: inherit; font-size: 11px; overflow: visible; }
.wide { overflow-x: auto; margin-bottom: 14px; } .wide svg { width: auto; max-width: none; height: auto; }
.grid { stroke: var(--rule); stroke-width: 1; } .axis { stroke: var(--soft); stroke-width: 1; }
.tick { fill: var(--soft); font-variant-numeric: tabular-nums; } .title { fill: var(--soft); font-style: italic; }
.name { fill: var(--ink); } .name.main { font-weight: 700; fill: var(--after); }
.dot.main { fill: var(--after); stroke: var(--page); stroke-width: 1.5; } .dot.before { fill: var(--before); } .dot.other { fill: var(--other); }
.dot.original { fill: var(--page); stroke: var(--ink); stroke-width: 2; }
.cell { fill: var(--heat); } .cell.unknown { fill: var(--panel); stroke: var(--rule); }
.in { fill: var(--ink); font-variant-numeric: tabular-nums; } .in.strong { fill: #fff; }
.bar.before { fill: var(--before); fill-opacity: .5; } .bar.after { fill: var(--after); }
.curve { fill: none; stroke-width: 2; stroke-linejoin: round; } .curve.before { stroke: var(--before); } .curve.after { stroke: var(--after); }
.curve.estimated { stroke-dasharray: 2 3; }
.kept { fill: var(--kept); } .rank { stroke: var(--ink); stroke-width: 1.5; } .noise { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 5 4; }
.key { display: flex; flex-wrap: wrap; gap: 4px 18px; color: var(--soft); font-size: 13px; margin: 2px 0 10px; }
.key i { display: inline-block; width: 13px; height: 13px; border-radius: 3px; margin-right: 6px; vertical-align: -2px; }
.key .k-before { background: var(--before); } .key .k-bar { background: var(--before); opacity: .5; } .key .k-after { background: var(--after); } .key .k-kept { background: var(--kept); border: 1px solid var(--after); }
.key .k-estimated { height: 0; border-top: 2px dotted var(--soft); border-radius: 0; vertical-align: 4px; width: 20px; }
.key .k-line { height: 0; border-top: 2px dashed var(--soft); border-radius: 0; vertical-align: 4px; width: 20px; }
.ramp { flex: 0 1 170px; height: 12px; align-self: center; border-radius: 3px; background: linear-gradient(90deg, color-mix(in srgb, var(--heat) 6%, var(--page)), var(--heat)); }
.table { overflow-x: auto; margin: 4px 0 8px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 5px 8px; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; white-space: normal; } th.l, td.l { text-align: left; }
thead tr:first-child th.group { text-align: center; border-bottom: 1px solid var(--rule); }
tr.main td { font-weight: 650; } tbody tr:hover { background: var(--panel); }
td.wrap { white-space: normal; overflow-wrap: anywhere; min-width: 180px; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 8px 0 14px; font-size: 14px; }
dl.facts dt { color: var(--soft); } dl.facts dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
dl.terms { columns: 2 420px; column-gap: 32px; font-size: 14px; margin: 8px 0; } dl.terms div { break-inside: avoid; margin-bottom: 10px; }
dl.terms dt { font-weight: 650; } dl.terms dd { margin: 0; color: var(--soft); }
pre { background: var(--panel); border: 1px solid var(--rule); border-radius: 8px; padding: 12px 14px; font: 12.5px/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; margin: 8px 0; columns: 2 340px; column-gap: 32px; }
footer { color: var(--soft); font-size: 13px; margin-top: 40px; border-top: 1px solid var(--rule); padding-top: 12px; }
@media (max-width: 560px) { main { padding: 18px 16px 40px; } h1 { font-size: 25px; } .verdict { font-size: 16px; }
  .cards { grid-template-columns: 1fr 1fr; gap: 9px; } .card { padding: 9px 11px; } .card .value { font-size: 21px; }
  dl.facts { grid-template-columns: 1fr; gap: 0; } dl.facts dd { margin-bottom: 8px; } }
@page { margin: 14mm 12mm; }
@media print { :root { color-scheme: light; --page: #ffffff; --panel: #f6f7f9; --ink: #1a1f26; --soft: #5b6572; --rule: #cfd5dd; --before: #d98324;
    --after: #1f5fd0; --other: #8a93a0; --heat: #c2410c; --kept: #1f5fd014; --good: #14713d; --bad: #b3261e; }
  body { font-size: 10.5pt; -webkit-print-color-adjust: exact; print-color-adjust: exact; } main { max-width: none; padding: 0; }
  h1 { font-size: 20pt; } h2 { font-size: 14pt; margin-top: 22pt; break-after: avoid; } h3, .key { break-after: avoid; break-inside: avoid; } .verdict { font-size: 11.5pt; } h2 + p { break-after: avoid; } h2.page { break-before: page; margin-top: 0; border-top: 0; }
  .cards { grid-template-columns: repeat(6, 1fr); gap: 6px; } .card { padding: 7px 9px; } .card .value { font-size: 14pt; } .card .label, .card .note { font-size: 8pt; }
  .pair { grid-template-columns: 1fr 1fr; gap: 12px 18px; } figure, tr, .card, pre.short { break-inside: avoid; } .table, .wide { overflow: visible; }
  .wide svg { width: 100%; max-width: 100%; } table { font-size: 7.5pt; } th, td { padding: 2px 4px; } td.wrap { min-width: 0; } pre { font-size: 8pt; columns: 3 180px; column-gap: 18px; } dl.terms { font-size: 9pt; columns: 2 280px; } }
)";

}  // namespace lqer
