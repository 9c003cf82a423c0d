// Words and their masks: what is under the mouse or has the focus shows its mask alone; a click keeps it so.
window.flmm = (() => {
  const groupOf = element => element.closest('.flmm-group') || document.querySelector('#masks .flmm-group');

  function show(group, layer) {
    if (!group) return;
    const only = layer ?? group.dataset.pinned ?? '';
    group.querySelectorAll('.flmm-layer').forEach(each => {
      const isSpan = each.dataset.of === 'span';
      each.classList.toggle('flmm-shown', only === '' ? !isSpan : each.dataset.of === only);
    });
    const chips = [...group.querySelectorAll('.flmm-word'), ...document.querySelectorAll('#span .flmm-word')];
    chips.forEach(chip => chip.classList.toggle('flmm-dim', only !== '' && chip.dataset.layer !== only));
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

  document.addEventListener('click', event => {
    const word = wordAt(event);
    if (word) {
      const group = load(word), layer = word.dataset.layer;
      if (!group) return;
      if (group.dataset.pinned === layer) delete group.dataset.pinned;
      else group.dataset.pinned = layer;
      show(group, group.dataset.pinned);
    }
    const map = event.target.closest('.flmm-map');
    if (map) enlarge(map);
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
    showSpan: () => requestAnimationFrame(() => {
      const group = document.querySelector('#masks .flmm-group');
      if (!group) return;
      const word = document.querySelector('#span .flmm-word');
      if (word) { load(word); group.dataset.pinned = 'span'; } else if (group.dataset.pinned === 'span') delete group.dataset.pinned;
      show(group);
    }),
  };
})();
