"""The fixed parts of a review page: what it adds to the report's style, and its script."""

from __future__ import annotations

STYLE = """
main.review{display:block}
.item{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:1.4rem;align-items:start}
.item ol{margin:0;padding:0;list-style:none}
.row{padding:.5rem .7rem;border-left:4px solid var(--c);border-radius:6px;margin-bottom:.45rem;cursor:pointer}
.row p{margin:0}.row small{display:block;color:var(--soft)}.row small.found{color:#b45309}
.row.drop p{text-decoration:line-through;opacity:.6}
.row:focus{outline:3px solid var(--accent)}
.row textarea{width:100%;font:inherit;margin-top:.3rem}
.row .keys{display:none;gap:.4rem;margin-top:.3rem}.row:focus-within .keys{display:flex}
.row[data-decision=keep]{background:#16a34a22}.row[data-decision=fix]{background:#2563eb22}
.row[data-decision=drop]{background:#dc262622}
.item .mask{fill-opacity:.06;stroke-opacity:.55}.item .mask.lit{fill-opacity:.45;stroke-opacity:1;stroke-width:3}
header button,.keys button,header input{font:inherit;padding:.2rem .7rem;border-radius:8px;border:1px solid var(--line);
background:var(--card);color:inherit}
header button:not(:disabled){background:var(--accent);color:#fff;cursor:pointer}
@media (max-width:60rem){.item{grid-template-columns:minmax(0,1fr)}}
"""

SCRIPT = """
(() => {
  const rows = [...document.querySelectorAll('.row')];
  const main = document.querySelector('main');
  const save = document.getElementById('save'), count = document.getElementById('count');
  const who = document.getElementById('who');
  const decided = () => rows.filter(row => row.dataset.decision);
  const refresh = () => {
    count.textContent = decided().length;
    save.disabled = !decided().length || !who.value.trim();
  };
  const light = row => {
    for (const mask of row.closest('.item').querySelectorAll('.mask'))
      mask.classList.toggle('lit', mask.dataset.row === row.dataset.row);
  };
  const next = (row, step) => { const other = rows[rows.indexOf(row) + step]; if (other) other.focus(); };
  const decide = (row, decision) => {
    const box = row.querySelector('textarea');
    row.dataset.decision = row.dataset.decision === decision && decision !== 'fix' ? '' : decision;
    box.hidden = row.dataset.decision !== 'fix';
    if (row.dataset.decision === 'fix') { box.value = box.value || JSON.parse(row.dataset.was); box.focus(); }
    refresh();
    if (decision !== 'fix' && row.dataset.decision) next(row, 1);
  };
  for (const row of rows) {
    row.addEventListener('focusin', () => light(row));
    row.addEventListener('pointerenter', () => light(row));
    row.addEventListener('keydown', event => {
      if (event.target.tagName === 'TEXTAREA') { if (event.key === 'Escape') row.focus(); return; }
      const done = {1: 'keep', 2: 'fix', 3: 'drop'}[event.key];
      if (done) { event.preventDefault(); decide(row, done); }
      if (event.key === 'ArrowDown') { event.preventDefault(); next(row, 1); }
      if (event.key === 'ArrowUp') { event.preventDefault(); next(row, -1); }
    });
    for (const button of row.querySelectorAll('button'))
      button.addEventListener('click', () => decide(row, button.dataset.do));
  }
  who.addEventListener('input', refresh);
  save.addEventListener('click', () => {
    const decisions = decided().map(row => {
      const found = {item: row.closest('.item').dataset.item, sentence: +row.dataset.row,
        was: JSON.parse(row.dataset.was), decision: row.dataset.decision};
      if (found.decision === 'fix') found.text = row.querySelector('textarea').value;
      return found;
    });
    const patch = {format: 1, page: main.dataset.page, reviewer: who.value.trim(), decisions};
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([JSON.stringify(patch, null, 1)], {type: 'application/json'}));
    link.download = `patch_${main.dataset.page}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
})();
"""
