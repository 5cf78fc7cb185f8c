"""The fixed parts of report.html: its style and its script."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#14181f;--soft:#5b6472;--line:#e3e6eb;--accent:#2563eb;
--shade:0 1px 2px #10182814,0 12px 32px -12px #1018282e;--tint:24%;--warn:#fff7e6;--warn-line:#f3c969}
@media (prefers-color-scheme:dark){:root{--page:#0d1117;--card:#151b24;--ink:#e8ecf2;--soft:#97a1b0;--line:#263040;
--accent:#7aa7ff;--shade:0 1px 2px #0006,0 16px 40px -16px #000a;--tint:30%;--warn:#2a2313;--warn-line:#6d5618}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;-webkit-font-smoothing:antialiased}
header{display:flex;flex-wrap:wrap;gap:.4rem 1.4rem;align-items:baseline;max-width:1560px;margin:auto;
padding:1.1rem 1.75rem .2rem}
header b{letter-spacing:-.01em}header b i{display:inline-block;width:.62em;height:.62em;margin-right:.5em;
border-radius:3px;
background:conic-gradient(#ff6b6b 0 25%,#4dabf7 0 50%,#69db7c 0 75%,#ffd43b 0)}
header ul{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:0;padding:0;list-style:none;color:var(--soft);
font-size:.86rem}
main{display:grid;gap:1.75rem;max-width:1560px;margin:auto;padding:.9rem 1.75rem 3rem;align-items:start}
main.split{grid-template-columns:minmax(0,1.7fr) minmax(21rem,1fr)}
main.plain{max-width:52rem}
figure{margin:0;position:sticky;top:1.25rem}
.stage{position:relative;width:min(100%,calc((100vh - 7.5rem)*var(--ratio)));min-width:min(100%,14rem);
min-height:1.5rem;
aspect-ratio:var(--ratio);margin:auto;border-radius:14px;overflow:hidden;box-shadow:var(--shade);
background:var(--line)}
.stage img,.stage svg{position:absolute;inset:0;width:100%;height:100%;display:block}
.stage.small img{image-rendering:pixelated}
.mask{fill:var(--c);fill-opacity:var(--strength,.4);fill-rule:evenodd;stroke:var(--c);stroke-width:1.6;
vector-effect:non-scaling-stroke;stroke-linejoin:round;cursor:pointer;
transition:fill-opacity .16s,stroke-opacity .16s}
.veil{fill:#05080f;opacity:0;pointer-events:none;transition:opacity .16s}
.focus .veil{opacity:.62}
.focus .mask{fill-opacity:0;stroke-opacity:.28}
.focus .mask.lit{fill-opacity:.14;stroke-opacity:1;stroke-width:3}
.tag{position:absolute;transform:translate(-50%,calc(-100% - .45rem));max-width:70%;padding:.16rem .6rem;
border-radius:99px;
background:var(--c);color:#10141c;font-size:.84rem;font-weight:600;white-space:nowrap;overflow:hidden;
text-overflow:ellipsis;pointer-events:none;opacity:0;transition:opacity .16s;box-shadow:0 2px 10px #0008}
.tag.below{transform:translate(-50%,.45rem)}
.tag.lit{opacity:1}
.many .tag span{display:none}
.controls{display:flex;gap:1.4rem;justify-content:center;align-items:center;padding:.75rem 0 0;color:var(--soft);
font-size:.86rem}
.controls label{display:flex;gap:.5rem;align-items:center}
.controls input{accent-color:var(--accent);margin:0}
.scale,.north{position:absolute;bottom:.8rem;color:#fff;font-size:.78rem;font-weight:600;pointer-events:none;
text-shadow:0 0 3px #000,0 0 6px #000}
.scale{left:.9rem;border:solid #fff;border-width:0 2px 2px;padding:0 .3rem .1rem;text-align:center;white-space:nowrap;
filter:drop-shadow(0 0 2px #000)}
.north{right:.9rem;display:grid;justify-items:center;transform:rotate(var(--turn))}
.stage .north svg{position:static;width:1.3rem;height:1.75rem;fill:#fff;filter:drop-shadow(0 0 2px #000)}
.where{color:var(--soft);font-size:.82em}
.hidden .mask,.hidden .veil{display:none}
.card{background:var(--card);border:1px solid var(--line);border-radius:14px;box-shadow:var(--shade);
padding:1.5rem 1.6rem}
.card+.card{margin-top:1.25rem}
h1{margin:0 0 .9rem;font-size:.95rem;line-height:1.45;font-weight:500;color:var(--soft);overflow-wrap:anywhere}
h2{margin:0 0 .6rem;font-size:.78rem;font-weight:600;letter-spacing:.06em;text-transform:uppercase;color:var(--soft)}
.answer{margin:0;font-size:1.22rem;line-height:1.75;letter-spacing:-.005em;white-space:pre-wrap;
overflow-wrap:anywhere}
.answer.none{color:var(--soft);font-style:italic}
.phrase{cursor:pointer;padding:.1em .28em;margin:0 -.06em;border-radius:5px;unicode-bidi:isolate;
-webkit-box-decoration-break:clone;box-decoration-break:clone;
background:var(--line2) 0 100%/100% 2.5px no-repeat,color-mix(in oklab,var(--c) var(--tint),transparent);
transition:background-color .16s,box-shadow .16s}
.phrase.lit{box-shadow:0 0 0 2px var(--c);background-color:color-mix(in oklab,var(--c) 52%,transparent)}
.phrase.pin{font-size:.72em;font-weight:700;vertical-align:.35em;margin-left:.15em}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.regions{margin:0;padding:0;list-style:none}
.regions button{display:grid;grid-template-columns:auto 1fr auto;gap:0 .75rem;width:100%;padding:.42rem .6rem;
border:0;
border-radius:9px;background:none;color:inherit;font:inherit;text-align:left;cursor:pointer;align-items:center}
.regions button.lit{background:color-mix(in oklab,var(--c) 18%,transparent)}
.regions .dot{grid-row:span 2;display:grid;place-items:center;width:1.75rem;height:1.75rem;border-radius:8px;
background:var(--c);color:#10141c;font-size:.82rem;font-weight:700}
.regions .name{font-weight:550;overflow-wrap:anywhere;unicode-bidi:isolate}
.regions .name em{font-weight:400;color:var(--soft)}
.regions .size{grid-column:2;color:var(--soft);font-size:.84rem}
.score{text-align:right;font-size:.84rem;font-variant-numeric:tabular-nums;color:var(--soft)}
.bar{width:4.2rem;height:5px;border-radius:9px;background:var(--line);overflow:hidden}
.bar i{display:block;height:100%;border-radius:9px;background:var(--c,var(--accent))}
.notes{margin:0 0 1.1rem;padding:.7rem .95rem .7rem 2rem;border:1px solid var(--warn-line);border-radius:10px;
background:var(--warn);font-size:.92rem;overflow-wrap:anywhere}
details{margin-top:1.25rem;color:var(--soft);font-size:.88rem}
summary{cursor:pointer;padding:.2rem .1rem;border-radius:6px}
details .card{margin-top:.7rem;color:var(--ink)}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:.3rem .5rem .3rem 0;text-align:left;font-weight:400;vertical-align:top}
td.n{text-align:right;white-space:nowrap}
th{color:var(--soft);white-space:nowrap}
td.v{overflow-wrap:anywhere}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;
font:.84rem/1.6 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
details h2{margin-top:1.2rem}details h2:first-child{margin-top:0}
@media (max-width:60rem){main.split{grid-template-columns:minmax(0,1fr)}figure{position:static}
.stage{width:min(100%,calc(70vh*var(--ratio)))}header,main{padding-left:1rem;padding-right:1rem}}
@media (prefers-reduced-motion:reduce){*{transition:none!important}}
@media print{.controls,details:not([open]){display:none}figure{position:static}}
"""

SCRIPT = """
(() => {
  const parts = [...document.querySelectorAll('[data-regions]')];
  const stage = document.querySelector('.stage');
  const holes = document.getElementById('holes');
  const of = part => part.dataset.regions.split(' ');
  let pinned = null;
  const light = part => {
    const ids = new Set(part ? of(part) : []);
    for (const other of parts) other.classList.toggle('lit', of(other).some(id => ids.has(id)));
    if (!stage) return;
    const shown = [...stage.querySelectorAll('.mask.lit')];
    stage.classList.toggle('focus', shown.length > 0);
    stage.classList.toggle('many', shown.length > 1);
    if (shown.length) holes.replaceChildren(...shown.map(mask => {
      const hole = document.createElementNS('http://www.w3.org/2000/svg', 'path');
      hole.setAttribute('d', mask.getAttribute('d'));
      return hole;
    }));
  };
  const pin = part => {
    pinned = pinned === part ? null : part;
    for (const other of parts)
      if (other.hasAttribute('aria-pressed')) other.setAttribute('aria-pressed', String(other === pinned));
    light(pinned);
  };
  for (const part of parts) {
    part.addEventListener('pointerenter', () => light(part));
    part.addEventListener('pointerleave', () => light(pinned));
    part.addEventListener('focus', () => light(part));
    part.addEventListener('blur', () => light(pinned));
    part.addEventListener('click', () => pin(part));
    part.addEventListener('keydown', event => {
      if (part.tagName === 'BUTTON' || (event.key !== 'Enter' && event.key !== ' ')) return;
      event.preventDefault();
      pin(part);
    });
  }
  document.addEventListener('keydown', event => { if (event.key === 'Escape' && pinned) pin(pinned); });
  const show = document.getElementById('show');
  const strength = document.getElementById('strength');
  if (show) show.addEventListener('change', () => stage.classList.toggle('hidden', !show.checked));
  if (strength) strength.addEventListener('input', () => stage.style.setProperty('--strength', strength.value / 100));
})();
"""
