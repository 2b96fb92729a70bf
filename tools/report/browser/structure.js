// An expression: what of the page can be seen, at which place. Tests compare this, and no
// pixels, which differ with fonts.
(() => {
  const problems = new Set();
  const page = document.documentElement;
  const name = (e) => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + [...e.classList].map((c) => "." + c).join("");
  const quote = (text) => JSON.stringify(text.trim().replace(/\s+/g, " ").slice(0, 50));
  const style = new Map();
  const styleOf = (e) => {
    if (!style.has(e)) style.set(e, getComputedStyle(e));
    return style.get(e);
  };
  if (page.scrollWidth > page.clientWidth) problems.add(`the page is ${page.scrollWidth} px wide, the window ${page.clientWidth}`);

  // Text that is there for screen readers alone.
  const unseen = (e) => e.closest(".sr, .skip:not(:focus)") || (e.closest("thead") && styleOf(e.closest("thead")).clipPath !== "none");

  // Of each line of text, what is seen of it. Where its container scrolls, the rest can be
  // reached, and an ellipsis says that there is more.
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || /^(SCRIPT|STYLE|NOSCRIPT|OPTION)$/.test(parent.tagName) || !parent.checkVisibility({ visibilityProperty: true }) || unseen(parent)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const r of range.getClientRects()) {
      const box = { left: r.left, right: r.right, top: r.top, bottom: r.bottom, node, parent };
      if (r.width < 1 || r.height < 1) continue;
      let reachable = false;
      for (let e = parent; e && e !== document.body; e = e.parentElement) {
        const s = styleOf(e);
        if (s.overflowX === "visible" && s.overflowY === "visible") continue;
        const c = e.getBoundingClientRect();
        const scrolls = /auto|scroll/.test(s.overflowX + s.overflowY);
        reachable ||= scrolls || s.textOverflow === "ellipsis" || parent.classList.contains("tick");
        if (!reachable && (r.left < c.left - 1 || r.right > c.right + 1 || r.top < c.top - 0.4 * r.height || r.bottom > c.bottom + 0.4 * r.height)) {
          problems.add(`${quote(node.data)} is cut off by ${name(e)}`);
        }
        box.left = Math.max(box.left, c.left);
        box.right = Math.min(box.right, c.right);
        box.top = Math.max(box.top, c.top);
        box.bottom = Math.min(box.bottom, c.bottom);
      }
      if (box.right - box.left < 1 || box.bottom - box.top < 1) continue;
      if (box.left < -1 || box.right > page.clientWidth + 1) problems.add(`${quote(node.data)} in ${name(parent)} leaves the window`);
      texts.push(box);
    }
  }

  // No text over another. Lines that stand close share a little of their height.
  texts.sort((a, b) => a.top - b.top);
  for (let i = 0; i < texts.length && problems.size < 40; i++) {
    const a = texts[i];
    for (let j = i + 1; j < texts.length && texts[j].top < a.bottom; j++) {
      const b = texts[j];
      if (a.node === b.node) continue;
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 2 && high > 0.4 * Math.min(a.bottom - a.top, b.bottom - b.top)) {
        problems.add(`${quote(a.node.data)} in ${name(a.parent)} and ${quote(b.node.data)} in ${name(b.parent)} stand over each other`);
      }
    }
  }

  // The parts follow each other, as wide as the window has room for.
  let above = 0;
  const sections = [];
  for (const part of document.querySelectorAll("body > header, body > nav, main > section, body > footer")) {
    const r = part.getBoundingClientRect();
    const top = r.top + scrollY;
    if (r.width < 0.8 * page.clientWidth || r.height < 10) problems.add(`${name(part)} has ${Math.round(r.width)} x ${Math.round(r.height)} px`);
    if (top < above - 1) problems.add(`${name(part)} begins above the end of the part before it`);
    above = r.bottom + scrollY;
    if (part.tagName === "SECTION") sections.push(part.querySelector("h2").textContent);
  }

  // Every span of the time axis is on its track.
  const spans = document.querySelectorAll(".axis .span");
  for (const span of spans) {
    const s = span.getBoundingClientRect();
    const t = span.closest(".track").getBoundingClientRect();
    if (s.left < t.left - 1 || s.right > t.right + 3 || s.top < t.top - 1 || s.bottom > t.bottom + 1) problems.add(`span ${quote(span.title)} leaves its track`);
  }

  const first = document.querySelector("#failures article, #failures tbody tr, #failures details");
  return {
    problems: [...problems],
    background: styleOf(document.body).backgroundColor.match(/\d+/g).slice(0, 3).map(Number),
    sections,
    texts: texts.length,
    spans: spans.length,
    firstFailure: first ? first.getBoundingClientRect().top + scrollY : -1,
  };
})()
