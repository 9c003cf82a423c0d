// Words and their masks: what is under the mouse or has the focus shows its mask alone; a click keeps it so.
window.flmm = (() => {
  function groupOf(word) {
    const over = word.closest('[data-over]')?.dataset.over;
    return over ? document.querySelector(`.flmm-group[data-key="${over}"]`) : word.closest('.flmm-group');
  }

  function show(group, layer) {
    if (!group) return;
    const only = layer ?? group.dataset.pinned ?? '';
    group.querySelectorAll('.flmm-layer').forEach(each => {
      const isSpan = each.dataset.of === 'span';
      each.classList.toggle('flmm-shown', only === '' ? !isSpan : each.dataset.of === only);
    });
    const chips = document.querySelectorAll('.flmm-word');
    [...chips].filter(chip => groupOf(chip) === group)
      .forEach(chip => chip.classList.toggle('flmm-dim', only !== '' && chip.dataset.layer !== only));
  }

  function load(word) {
    const group = groupOf(word);
    if (group && word.dataset.src) group.querySelector('.flmm-span').src = word.dataset.src;
    return group;
  }

  const wordAt = event => event.target.closest?.('.flmm-word');
  for (const [enter, leave] of [['pointerover', 'pointerout'], ['focusin', 'focusout']]) {
    document.addEventListener(enter, event => wordAt(event) && show(load(wordAt(event)), wordAt(event).dataset.layer));
    document.addEventListener(leave, event => wordAt(event) && show(groupOf(wordAt(event))));
  }

  // Browsers let no selection begin at the edge of what takes the focus; a click gives it all the same.
  document.addEventListener('mousedown', event => {
    const word = wordAt(event);
    if (!word?.hasAttribute('tabindex')) return;
    word.removeAttribute('tabindex');
    setTimeout(() => { word.tabIndex = 0; });
  });
  document.addEventListener('click', event => {
    const word = wordAt(event), group = word && load(word);
    if (group && getSelection().isCollapsed) { // else the mouse has selected some of the words
      const layer = word.dataset.layer;
      word.focus();
      if (group.dataset.pinned === layer) delete group.dataset.pinned;
      else group.dataset.pinned = layer;
      show(group, group.dataset.pinned);
    }
    const map = event.target.closest('.flmm-map');
    if (map) enlarge(map);
  });
  document.addEventListener('keydown', event => {
    if (!wordAt(event) || !['Enter', ' '].includes(event.key)) return;
    event.preventDefault();
    wordAt(event).click();
  });

  function enlarge(map) {
    const all = map.closest('.flmm-attention');
    all.querySelector('.flmm-current')?.classList.remove('flmm-current');
    map.classList.add('flmm-current');
    for (const place of ['--x', '--y']) {
      all.querySelector('.flmm-large').style.setProperty(place, map.style.getPropertyValue(place));
    }
    all.querySelector('.flmm-caption').textContent = map.dataset.map;
  }

  // Words that are selected in an answer are sent when the selection has stood still, however it was made.
  let isHeld = false, timer, sent;
  const soon = () => { clearTimeout(timer); timer = setTimeout(send, 250); };
  document.addEventListener('pointerdown', () => { isHeld = true; });
  for (const end of ['pointerup', 'pointercancel']) document.addEventListener(end, () => { isHeld = false; soon(); });
  document.addEventListener('selectionchange', soon);

  function send() {
    if (isHeld) return;
    const answer = document.querySelector('.flmm-answer'), detail = selected(answer);
    const key = detail && Object.values(detail).join();
    if (detail && key !== sent) answer.dispatchEvent(new CustomEvent('flmm-select', {bubbles: true, detail}));
    sent = key;
  }

  function selected(answer) {
    const selection = getSelection();
    if (!answer || selection.isCollapsed || !selection.getRangeAt(0).intersectsNode(answer)) return undefined;
    const part = selection.getRangeAt(0).cloneRange(), all = document.createRange(), before = document.createRange();
    all.selectNodeContents(answer);
    if (part.compareBoundaryPoints(Range.START_TO_START, all) < 0) part.setStart(all.startContainer, all.startOffset);
    if (part.compareBoundaryPoints(Range.END_TO_END, all) > 0) part.setEnd(all.endContainer, all.endOffset);
    before.setStart(all.startContainer, all.startOffset);
    before.setEnd(part.startContainer, part.startOffset);
    const start = before.toString().length, length = part.toString().length;
    return length ? {answer: answer.closest('.flmm-group').dataset.key, start, end: start + length} : undefined;
  }

  // Where the page is not served over HTTPS or from this machine, browsers have no navigator.clipboard.
  async function copy(text) {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const area = Object.assign(document.createElement('textarea'), {value: text});
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }

  return {
    copy,
    download: url => Object.assign(document.createElement('a'), {href: url, download: 'masks.png'}).click(),
    // Words that were selected, in the element `place`, are shown over the image in the element `over`; or no longer.
    showSpan: (place, over) => requestAnimationFrame(() => {
      const group = document.querySelector(`${over} .flmm-group`), word = document.querySelector(`${place} .flmm-word`);
      if (!group) return;
      if (word && load(word) === group) group.dataset.pinned = 'span';
      else if (group.dataset.pinned === 'span') delete group.dataset.pinned;
      show(group);
    }),
  };
})();
