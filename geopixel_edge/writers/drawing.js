// Phrases and masks that share a region light each other: by pointer, by focus, and fixed by a click or a key.
const Drawing = (() => {
  const SVG = 'http://www.w3.org/2000/svg';
  const idsOf = part => part.dataset.regions.split(' ');

  // Everything in `root` with data-regions takes part, also what is added later. Returns a function that lights
  // the parts of one element, or none.
  const attach = root => {
    let pinned = null;
    const partOf = target => target instanceof Element && target.closest('[data-regions]');
    const light = part => {
      const ids = new Set(part ? idsOf(part) : []);
      for (const other of root.querySelectorAll('[data-regions]'))
        other.classList.toggle('lit', idsOf(other).some(id => ids.has(id)));
      const stage = root.querySelector('.stage'), holes = root.querySelector('.holes');
      if (!stage || !holes) return;
      const shown = [...stage.querySelectorAll('.mask.lit')];
      stage.classList.toggle('focus', shown.length > 0);
      stage.classList.toggle('many', shown.length > 1);
      if (shown.length) holes.replaceChildren(...shown.map(mask => {
        const hole = document.createElementNS(SVG, 'path');
        hole.setAttribute('d', mask.getAttribute('d'));
        return hole;
      }));
    };
    const pin = part => {
      pinned = pinned === part ? null : part;
      for (const other of root.querySelectorAll('[data-regions][aria-pressed]'))
        other.setAttribute('aria-pressed', String(other === pinned));
      light(pinned);
    };
    const lead = event => { const part = partOf(event.target); if (part) light(part); };
    const back = event => { if (partOf(event.target)) light(pinned); };
    root.addEventListener('pointerover', lead);
    root.addEventListener('pointerout', back);
    root.addEventListener('focusin', lead);
    root.addEventListener('focusout', back);
    root.addEventListener('click', event => { const part = partOf(event.target); if (part) pin(part); });
    root.addEventListener('keydown', event => {
      if (event.key === 'Escape' && pinned) { pin(pinned); return; }
      const part = partOf(event.target);
      if (!part || part.tagName === 'BUTTON' || (event.key !== 'Enter' && event.key !== ' ')) return;
      event.preventDefault();
      pin(part);
    });
    return part => { pinned = null; light(part); };
  };

  // The checkbox that hides the masks of a stage, and the slider of their strength.
  const control = (stage, show, strength) => {
    if (show) show.addEventListener('change', () => stage.classList.toggle('hidden', !show.checked));
    if (strength) strength.addEventListener('input', () => stage.style.setProperty('--strength', strength.value / 100));
  };

  return {SVG, attach, control};
})();
