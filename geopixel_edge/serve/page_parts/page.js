// The page: one picture on the stage, questions about it in turn, and what the model points at drawn as it comes.
(() => {
  const $ = id => document.getElementById(id);
  const make = (tag, fields = {}, ...inside) => {
    const made = Object.assign(document.createElement(tag), fields);
    made.append(...inside);
    return made;
  };
  const palette = JSON.parse($('palette').textContent);
  const colour = index => palette[index % palette.length];
  const stage = $('stage'), sheet = $('sheet'), picture = $('picture'), paths = $('paths'), hello = $('hello');
  const light = Drawing.attach(document.body);
  Drawing.control(stage, $('show'), $('strength'));

  // What a chip says, and what it asks.
  const SUGGESTED = [['Describe', 'Describe this image with interleaved segmentation masks.'],
    ...['the bridge', 'the ships'].map(what => [what, `Could you provide a segmentation mask for ${what} in this image?`])];
  let image = null;     // {id, file, seen, width_px, height_px, ground}; id once the server has it, seen its preview
  const turns = [];     // {image, question, text, regions, grounding, card}; of all pictures, the oldest first
  let shown = null;     // the turn whose masks lie on the picture
  let running = null;   // the AbortController of the answer that comes
  let model = 'geopixel', key = '';

  // --- The server -------------------------------------------------------------------------------------------

  class Refused extends Error {
    constructor(status, problem) { super(problem.message); this.status = status; this.code = problem.code; }
  }
  const say = (text, bad = false) => { $('status').textContent = text; $('status').classList.toggle('bad', bad); };
  const problemOf = async response => {
    try { return (await response.json()).error; } catch { return {message: `the server answered ${response.status}`}; }
  };
  const askForKey = () => new Promise(done => {
    $('login').addEventListener('close', () => { key = $('key').value.trim(); done(); }, {once: true});
    $('login').showModal();
  });
  const call = async (path, options = {}) => {
    for (;;) {
      const headers = {...options.headers, ...(key ? {Authorization: `Bearer ${key}`} : {})};
      const response = await fetch(path, {...options, headers});
      if (response.ok) return response;
      const problem = await problemOf(response);
      if (response.status !== 401) throw new Refused(response.status, problem);
      await askForKey();
      if (!key) throw new Refused(401, problem);
    }
  };
  const upload = async sent => {
    if (sent.id) return;
    const form = new FormData();
    form.append('image', sent.file);
    const kept = await (await call('/v1/images', {method: 'POST', body: form})).json();
    Object.assign(sent, kept);
    if (sent === image) {
      sent.seen = await (await call(`/v1/images/${kept.id}/preview`)).blob();
      if (sent === image) show(sent);
      if (sent.notes.length) say(sent.notes.join('; '));
    }
  };
  // Server-sent events of an answer, parsed as they come.
  const eventsOf = async function* (response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let waiting = '';
    for (;;) {
      const {value, done} = await reader.read();
      if (done) return;
      waiting += value;
      const parts = waiting.split('\n\n');
      waiting = parts.pop();
      for (const part of parts) if (part.startsWith('data: ') && part !== 'data: [DONE]') yield JSON.parse(part.slice(6));
    }
  };

  // --- The picture ------------------------------------------------------------------------------------------

  let view = {scale: 1, x: 0, y: 0};
  const place = () => {
    const width = stage.clientWidth, height = stage.clientHeight;
    view.x = Math.min(0, Math.max(width * (1 - view.scale), view.x));
    view.y = Math.min(0, Math.max(height * (1 - view.scale), view.y));
    sheet.style.transform = `translate(${view.x}px,${view.y}px) scale(${view.scale})`;
    drawScale();
  };
  const zoom = (factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) => {
    const scale = Math.min(40, Math.max(1, view.scale * factor)), by = scale / view.scale;
    view = {scale, x: x - (x - view.x) * by, y: y - (y - view.y) * by};
    place();
  };
  const fit = () => { view = {scale: 1, x: 0, y: 0}; place(); };
  const drawScale = () => {
    const ground = image && image.ground;
    $('scale').hidden = $('north').hidden = !ground;
    if (!ground) return;
    // The greatest of 1, 2 or 5 times a power of ten within a quarter of what is seen.
    const width = ground.gsd_m[0] * image.width_px / view.scale, most = width / 4;
    const power = 10 ** Math.floor(Math.log10(most));
    const length = [5, 2, 1].map(step => step * power).find(one => one <= most * (1 + 1e-9));
    const text = length >= 1000 ? `${length / 1000} km` : length >= 1 ? `${length} m` : `${Math.round(length * 100)} cm`;
    $('scale').style.width = `${100 * length / width}%`;
    $('scale').firstElementChild.textContent = text;
    $('scale').setAttribute('aria-label', `Scale: the bar is ${text} long`);
    $('north').style.setProperty('--turn', `${ground.north_degrees}deg`);
    $('north').setAttribute('aria-label', `North, ${Math.round(ground.north_degrees)} degrees clockwise from upwards`);
  };
  const show = ({file, seen, width_px: width, height_px: height}) => {
    const blob = seen || file, address = URL.createObjectURL(blob);
    picture.onload = () => {
      const [w, h] = [width || picture.naturalWidth, height || picture.naturalHeight];
      stage.style.setProperty('--ratio', w / h);
      stage.classList.toggle('small', Math.max(w, h) < 400);
      $('masks').setAttribute('viewBox', `0 0 ${w} ${h}`);
      place();
    };
    // What the browser cannot draw, a GeoTIFF, the server shows.
    picture.onerror = () => {
      if (image && image.file === blob && !image.id) upload(image).catch(error => say(error.message, true));
    };
    if (picture.src.startsWith('blob:')) URL.revokeObjectURL(picture.src);
    picture.src = address;
    picture.alt = 'The picture asked about';
  };
  const open = async (file, suggested = SUGGESTED.slice(0, 1)) => {
    if (running) running.abort();
    image = {file, id: null};
    bring(null);
    fit();
    show(image);
    suggest(suggested);
    say('');
  };
  const outline = region => region.polygons.map(polygon => polygon.map(ring =>
    `M${ring.map(point => point.join(' ')).join('L')}z`).join('')).join('');
  const draw = (turn, region) => {
    if (turn !== shown || !region.area_px) return;
    const path = document.createElementNS(Drawing.SVG, 'path');
    path.setAttribute('class', 'mask new');
    path.setAttribute('d', outline(region));
    path.style.setProperty('--c', colour(region.index));
    path.dataset.regions = `${turn.number}.${region.index}`;
    path.dataset.area = region.area_px;
    // Small masks lie above large ones, so that each can be pointed at.
    const above = [...paths.children].find(other => Number(other.dataset.area) < region.area_px);
    paths.insertBefore(path, above || null);
  };
  const bring = turn => {
    if (turn && turn.image !== image) {
      if (running) running.abort();
      image = turn.image;
      fit();
      show(image);
    }
    shown = turn;
    light(null);
    paths.replaceChildren();
    if (turn) turn.regions.forEach(region => draw(turn, region));
    turns.forEach(other => other.card.classList.toggle('past', other !== turn));
  };

  // --- Questions and answers ----------------------------------------------------------------------------------

  const marked = turn => {
    const spans = new Map();
    for (const region of turn.regions) {
      const at = region.span.join(' ');
      spans.set(at, [...(spans.get(at) || []), region]);
    }
    // Spans count characters, and JavaScript's strings count UTF-16 units.
    const letters = [...turn.text], parts = [];
    let at = 0;
    for (const regions of [...spans.values()].sort((a, b) => a[0].span[0] - b[0].span[0])) {
      const [start, end] = regions[0].span;
      if (start < at || end > letters.length) continue;
      parts.push(letters.slice(at, start).join(''));
      const pins = end > start ? [[letters.slice(start, end).join(''), regions]] : regions.map(one => [one.index + 1, [one]]);
      for (const [words, group] of pins) parts.push(phrase(turn, words, group, end === start));
      at = end;
    }
    return [...parts, letters.slice(at).join('')];
  };
  const phrase = (turn, words, regions, pin) => {
    const mark = make('span', {className: `phrase${pin ? ' pin' : ''}`, tabIndex: 0, textContent: words});
    const stops = regions.map((one, n) => `${colour(one.index)} 0 ${100 * (n + 1) / regions.length}%`).join(',');
    mark.setAttribute('role', 'button');
    mark.setAttribute('aria-pressed', 'false');
    if (pin) mark.setAttribute('aria-label', `Region ${words}`);
    mark.dataset.regions = regions.map(one => `${turn.number}.${one.index}`).join(' ');
    mark.style.setProperty('--c', colour(regions[0].index));
    mark.style.setProperty('--line2', `linear-gradient(90deg,${stops})`);
    return mark;
  };
  const size = (turn, region) => {
    if (!region.area_px) return 'empty';
    if (region.place && region.place.area_m2) return `${Math.round(region.place.area_m2).toLocaleString('en')} m\u00b2`;
    return `${(100 * region.area_px / (turn.image.width_px * turn.image.height_px)).toPrecision(2)} %`;
  };
  const listed = (turn, region) => {
    const row = make('button', {type: 'button'}, make('i', {textContent: region.index + 1}),
      region.phrase || `Region ${region.index + 1}`, make('span', {textContent: size(turn, region)}));
    row.dataset.regions = `${turn.number}.${region.index}`;
    row.setAttribute('aria-pressed', 'false');
    row.style.setProperty('--c', colour(region.index));
    return make('li', {}, row);
  };
  const begin = question => {
    const again = make('button', {type: 'button', textContent: question, title: 'Show these masks'});
    const turn = {number: turns.length, image, question, text: '', regions: [], grounding: null};
    turn.answer = make('p', {className: 'answer writing'});
    turn.list = make('ol', {className: 'regions'});
    turn.card = make('article', {className: 'card'}, make('h2', {}, again), turn.answer, turn.list);
    again.addEventListener('click', () => bring(turn));
    hello.remove();
    $('turns').append(turn.card);
    turns.push(turn);
    bring(turn);
    turn.card.scrollIntoView({block: 'nearest'});
    return turn;
  };
  const take = (turn, event) => {
    if (event.error) throw new Refused(500, event.error);
    const {delta, finish_reason: reason} = event.choices[0] || {delta: {}};
    if (delta.content) turn.text += delta.content;
    if (reason) turn.grounding = {...delta.grounding, reason};
    else for (const region of (delta.grounding || {regions: []}).regions) {
      turn.regions.push(region);
      draw(turn, region);
      turn.list.append(listed(turn, region));
    }
    if (delta.content || delta.grounding) turn.answer.replaceChildren(...marked(turn));
  };
  // Every question is about the picture alone: of earlier turns the model would go on with what they point at.
  const body = ({image, question}) => JSON.stringify({
    model, stream: true, grounding: {polygons: true, geojson: true, coco: true},
    messages: [{role: 'user', content: [{type: 'image_url', image_url: {url: image.id}}, {type: 'text', text: question}]}],
  });
  const answer = async (turn, signal) => {
    for (let tries = 0; ; tries++) {
      await upload(turn.image);
      try {
        const headers = {'Content-Type': 'application/json'};
        const response = await call('/v1/chat/completions', {method: 'POST', headers, body: body(turn), signal});
        for await (const event of eventsOf(response)) take(turn, event);
        if (!turn.grounding) throw new Error('the answer broke off; ask again');
        return;
      } catch (error) {
        // The server has let the picture go meanwhile: it gets it once more.
        if (tries || error.code !== 'image_not_found' || turn.text) throw error;
        turn.image.id = null;
      }
    }
  };
  const ask = async question => {
    if (!question.trim() || running || !image) return;
    const turn = begin(question.trim()), began = performance.now();
    running = new AbortController();
    $('ask').textContent = 'Stop';
    say('answering');
    try {
      await answer(turn, running.signal);
      say('');
    } catch (error) {
      if (error.name !== 'AbortError') turn.card.append(make('p', {className: 'error', textContent: error.message}));
      say(error.name === 'AbortError' ? 'stopped' : 'no answer', error.name !== 'AbortError');
    }
    running = null;
    $('ask').textContent = 'Ask';
    turn.answer.classList.remove('writing');
    if (!turn.text && turn.grounding) turn.answer.textContent = 'The model gave no text.';
    if (turn.grounding) turn.card.append(tools(turn, (performance.now() - began) / 1000));
  };
  const suggest = questions => $('suggested').replaceChildren(...questions.map(([text, question]) => {
    const chip = make('button', {type: 'button', className: 'chip', textContent: text, title: question});
    chip.addEventListener('click', () => ask(question));
    return chip;
  }));

  // --- Downloads ----------------------------------------------------------------------------------------------

  const save = (blob, name) => {
    const link = make('a', {href: URL.createObjectURL(blob), download: name});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  const asJson = value => new Blob([JSON.stringify(value)], {type: 'application/json'});
  const png = async turn => {
    if (turn !== shown) bring(turn);
    await picture.decode();
    return drawn(turn);
  };
  const drawn = turn => new Promise(done => {
    const canvas = make('canvas', {width: picture.naturalWidth, height: picture.naturalHeight});
    const context = canvas.getContext('2d'), strength = $('strength').value / 100;
    context.drawImage(picture, 0, 0);
    context.scale(canvas.width / image.width_px, canvas.height / image.height_px);
    context.lineWidth = 2 * image.width_px / canvas.width;
    for (const region of [...turn.regions].sort((a, b) => b.area_px - a.area_px)) {
      const path = new Path2D(outline(region));
      context.fillStyle = context.strokeStyle = colour(region.index);
      context.globalAlpha = strength;
      context.fill(path, 'evenodd');
      context.globalAlpha = 1;
      context.stroke(path);
    }
    canvas.toBlob(done, 'image/png');
  });
  const tools = (turn, seconds) => {
    const forms = [['GeoJSON', 'geojson', async () => asJson(turn.grounding.geojson)],
      ['COCO', 'coco.json', async () => asJson(turn.grounding.coco)], ['PNG', 'png', () => png(turn)]];
    const buttons = turn.regions.length ? forms.map(([name, ending, made]) => {
      const button = make('button', {type: 'button', textContent: name, title: `Download as ${name}`});
      button.addEventListener('click', async () => save(await made(), `answer.${ending}`));
      return button;
    }) : [];
    const ended = turn.grounding.finish_reason === 'eos' ? '' : `, ended by its ${turn.grounding.finish_reason}`;
    return make('div', {className: 'tools'}, ...buttons, `${seconds.toFixed(1)} s${ended}`);
  };

  // --- Hands --------------------------------------------------------------------------------------------------

  $('composer').addEventListener('submit', event => {
    event.preventDefault();
    if (running) { running.abort(); return; }
    const question = $('question').value;
    $('question').value = '';
    ask(question);
  });
  $('question').addEventListener('keydown', event => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $('composer').requestSubmit();
  });
  $('file').addEventListener('change', () => { if ($('file').files[0]) open($('file').files[0]); $('file').value = ''; });
  for (const name of ['dragenter', 'dragover']) document.addEventListener(name, event => {
    event.preventDefault();
    document.body.classList.add('dropping');
  });
  document.addEventListener('dragleave', event => { if (!event.relatedTarget) document.body.classList.remove('dropping'); });
  document.addEventListener('drop', event => {
    event.preventDefault();
    document.body.classList.remove('dropping');
    if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
  });
  document.addEventListener('paste', event => { if (event.clipboardData.files[0]) open(event.clipboardData.files[0]); });

  $('in').addEventListener('click', () => zoom(1.5));
  $('out').addEventListener('click', () => zoom(1 / 1.5));
  $('fit').addEventListener('click', fit);
  stage.addEventListener('wheel', event => {
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  }, {passive: false});
  stage.addEventListener('keydown', event => {
    const move = {ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60]}[event.key];
    if (move) { view.x += move[0]; view.y += move[1]; place(); }
    else if (event.key === '+' || event.key === '=') zoom(1.5);
    else if (event.key === '-') zoom(1 / 1.5);
    else if (event.key === '0') fit();
    else return;
    event.preventDefault();
  });
  // One pointer moves, two zoom; a move is no click on the mask below.
  const fingers = new Map();
  let moved = false;
  stage.addEventListener('pointerdown', event => { fingers.set(event.pointerId, event); moved = false; });
  window.addEventListener('pointermove', event => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const others = [...fingers.values()].filter(one => one.pointerId !== event.pointerId);
    if (others.length) {
      const far = one => Math.hypot(one.clientX - others[0].clientX, one.clientY - others[0].clientY);
      const box = stage.getBoundingClientRect();
      zoom(far(event) / Math.max(1, far(before)), (event.clientX + others[0].clientX) / 2 - box.left,
        (event.clientY + others[0].clientY) / 2 - box.top);
    } else {
      view.x += event.clientX - before.clientX;
      view.y += event.clientY - before.clientY;
      place();
    }
    moved = moved || Math.hypot(event.movementX, event.movementY) > 1;
    stage.classList.toggle('moving', moved);
    fingers.set(event.pointerId, event);
  });
  for (const name of ['pointerup', 'pointercancel']) window.addEventListener(name, event => {
    fingers.delete(event.pointerId);
    stage.classList.remove('moving');
  });
  stage.addEventListener('click', event => { if (moved) event.stopPropagation(); moved = false; }, true);
  window.addEventListener('resize', place);

  // --- Start --------------------------------------------------------------------------------------------------

  const start = async () => {
    await open(await (await fetch($('scene').src)).blob(), SUGGESTED);
    for (;;) {
      const ready = await (await fetch('/readyz')).json();
      if (ready.status === 'ok') break;
      say(ready.reason, ready.status === 'broken');
      await new Promise(done => setTimeout(done, 1000));
    }
    say('');
    model = (await (await call('/v1/models')).json()).data[0].id;
    $('model').textContent = model;
  };
  start().catch(error => say(error.message, true));
})();
