"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const make = (tag, cls, text) => {
    const e = document.createElement(tag);
    if (cls) e.className = cls;
    if (text !== undefined) e.textContent = text;
    return e;
  };
  const secs = (s) => (s < 0.0995 ? Math.round(s * 1000) + " ms" : s < 10 ? s.toFixed(2) + " s" : s.toFixed(1) + " s");
  const bad = (v) => v !== undefined && v !== "passed" && v !== "skipped";

  // Filters: an item stays if its text has all words, and its attributes are those chosen.
  const items = [...document.querySelectorAll("[data-filter]")].map((e) => ({ e, text: null }));
  const fields = { verdict: $("f-verdict"), target: $("f-target"), env: $("f-env") };
  function filter() {
    const words = $("f-text").value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const item of items) {
      let keep = true;
      for (const [name, field] of Object.entries(fields)) {
        const wanted = field ? field.value : "";
        const has = item.e.dataset[name];
        if (wanted && has !== undefined && has !== "" && has !== wanted) keep = false;
        if (wanted && name === "env" && !has) keep = false;
      }
      if (keep && words.length) {
        if (item.text === null) item.text = item.e.textContent.toLowerCase();
        keep = words.every((w) => item.text.includes(w));
      }
      item.e.classList.toggle("hidden", !keep);
      if (keep) left++;
    }
    const any = words.length || Object.values(fields).some((f) => f && f.value);
    $("f-count").textContent = any ? left + " of " + items.length + " rows" : "";
  }
  let timer = 0;
  const form = document.querySelector(".filter");
  form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(filter, 80); });
  form.addEventListener("submit", (e) => { e.preventDefault(); filter(); });
  form.addEventListener("reset", () => setTimeout(filter, 0));

  // Copying: without the clipboard's permission, as in a file, the old way.
  document.addEventListener("click", async (e) => {
    const button = e.target.closest("[data-copy]");
    if (!button) return;
    const code = $(button.dataset.copy);
    let done = false;
    try { await navigator.clipboard.writeText(code.textContent); done = true; } catch (_) {
      const range = document.createRange();
      range.selectNodeContents(code);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      done = document.execCommand("copy");
    }
    const was = button.textContent;
    button.textContent = done ? "Copied" : "Selected: copy it";
    setTimeout(() => { button.textContent = was; }, 1500);
  });

  // A link to a folded failure unfolds it.
  function unfold() {
    const id = decodeURIComponent(location.hash.slice(1));
    const e = id && $(id);
    if (!e) return;
    for (let d = e; d; d = d.parentElement) if (d.tagName === "DETAILS") d.open = true;
    e.scrollIntoView();
  }
  addEventListener("hashchange", unfold);

  const axis = $("axis");
  const rows = make("div", "rows");
  let zoom = 1;
  let spans = []; // of visible lanes: arrays of buttons
  function ticks() {
    const width = Math.max(axis.clientWidth * zoom - 120, 200);
    const step = (data.seconds || 1) / (width / 90);
    const scale = Math.pow(10, Math.floor(Math.log10(step)));
    const nice = [1, 2, 5, 10].find((n) => n * scale >= step) * scale;
    const all = [];
    for (let t = 0; t <= data.seconds; t += nice) all.push(t);
    return all;
  }
  function place(e, s) {
    const total = data.seconds || 1;
    e.style.left = (100 * s.start) / total + "%";
    if (s.end > s.start) e.style.width = (100 * (s.end - s.start)) / total + "%";
  }
  function describe(s) {
    let text = s.label + ": " + s.kind + ", " + secs(s.start) + (s.end > s.start ? " to " + secs(s.end) + " (" + secs(s.end - s.start) + ")" : "");
    if (s.guess) text = s.label + ": " + s.kind + (s.kind === "cached" ? "" : ", " + secs(s.end - s.start) + ", placed by order");
    if (s.verdict) text += ", " + s.verdict;
    if (s.note && s.note !== s.verdict) text += ", " + s.note;
    return text;
  }
  function drawAxis() {
    const last = axis.querySelector('.span[tabindex="0"]');
    const focused = last && last === document.activeElement;
    rows.textContent = "";
    rows.style.width = 100 * zoom + "%";
    spans = [];
    if (!data.seconds || !data.lanes.length) {
      axis.textContent = "Nothing on the axis: no file says when anything began.";
      return;
    }
    const ruler = make("div", "row head ruler");
    ruler.append(make("div", "name", "seconds"));
    const marks = make("div", "track");
    marks.setAttribute("aria-hidden", "true");
    for (const t of ticks()) {
      const tick = make("span", "tick", String(+t.toPrecision(6)));
      tick.style.left = (100 * t) / data.seconds + "%";
      marks.append(tick);
    }
    ruler.append(marks);
    rows.append(ruler);
    let group = "";
    for (const lane of data.lanes) {
      if (lane.folded && !$("unfold").checked) continue;
      const row = make("div", "row" + (lane.thin ? " thin" : "") + (lane.group !== group ? " group" : ""));
      const name = make("div", "name", lane.name);
      name.title = lane.group + ": " + lane.name;
      group = lane.group;
      const track = make("ol", "track");
      track.setAttribute("aria-label", lane.group + ", " + lane.name);
      const line = [];
      for (const s of lane.spans) {
        const li = make("li");
        const b = make("button", "span s-" + s.kind + (s.inner ? " inner" : "") + (bad(s.verdict) ? " bad" : "") + (s.guess ? " s-guess" : ""));
        b.type = "button";
        b.tabIndex = -1;
        b.setAttribute("aria-label", describe(s));
        b.title = describe(s);
        b.span = s;
        place(b, s);
        li.append(b);
        track.append(li);
        line.push(b);
      }
      line.sort((a, b) => a.span.start - b.span.start);
      spans.push(line);
      row.append(name, track);
      rows.append(row);
    }
    axis.replaceChildren(rows);
    // The keyboard's place on the axis stays what it was.
    const here = (last && spans.flat().find((b) => b.span === last.span)) || (spans.length && spans[0][0]);
    if (here) here.tabIndex = 0;
    if (here && focused) here.focus({ preventScroll: true });
  }
  function go(to) {
    if (!to) return;
    const was = axis.querySelector('.span[tabindex="0"]');
    if (was) was.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  }
  axis.addEventListener("focusin", (e) => { if (e.target.span) $("axis-said").textContent = describe(e.target.span); });
  axis.addEventListener("pointerover", (e) => { if (e.target.span) $("axis-said").textContent = describe(e.target.span); });
  axis.addEventListener("click", (e) => {
    const s = e.target.span;
    if (!s) return;
    $("axis-said").textContent = describe(s);
    if (s.failure && $(s.failure)) location.hash = s.failure;
    else if (s.shard >= 0 && $("shard-" + s.shard)) location.hash = "shard-" + s.shard;
  });
  axis.addEventListener("keydown", (e) => {
    if (!e.target.span) return;
    const line = spans.findIndex((l) => l.includes(e.target));
    const at = spans[line].indexOf(e.target);
    const near = (l) => l && l.reduce((best, b) => (Math.abs(b.span.start - e.target.span.start) < Math.abs(best.span.start - e.target.span.start) ? b : best), l[0]);
    const to = { ArrowRight: spans[line][at + 1], ArrowLeft: spans[line][at - 1], ArrowDown: near(spans[line + 1]), ArrowUp: near(spans[line - 1]), Home: spans[line][0], End: spans[line][spans[line].length - 1] };
    if (!(e.key in to)) return;
    e.preventDefault();
    go(to[e.key]);
  });
  function zoomTo(z) {
    const middle = (axis.scrollLeft + axis.clientWidth / 2) / zoom;
    zoom = Math.min(64, Math.max(1, z));
    drawAxis();
    axis.scrollLeft = middle * zoom - axis.clientWidth / 2;
    if (document.activeElement.span) document.activeElement.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  $("zoom-in").addEventListener("click", () => zoomTo(zoom * 2));
  $("zoom-out").addEventListener("click", () => zoomTo(zoom / 2));
  $("zoom-fit").addEventListener("click", () => zoomTo(1));
  $("unfold").addEventListener("change", drawAxis);
  $("save-trace").addEventListener("click", () => {
    const events = [];
    const groups = [];
    data.lanes.forEach((lane, i) => {
      let pid = groups.indexOf(lane.group) + 1;
      if (!pid) {
        pid = groups.push(lane.group);
        events.push({ name: "process_name", ph: "M", pid, args: { name: lane.group } });
      }
      events.push({ name: "thread_name", ph: "M", pid, tid: i + 1, args: { name: lane.name } });
      for (const s of lane.spans) {
        const e = { name: s.label || s.kind, cat: s.kind, pid, tid: i + 1, ts: Math.round(s.start * 1e6), ph: "X", dur: Math.round((s.end - s.start) * 1e6), args: { note: s.note || "", verdict: s.verdict || "" } };
        if (!e.dur) { e.ph = "i"; e.s = "t"; delete e.dur; }
        events.push(e);
      }
    });
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify({ displayTimeUnit: "ms", traceEvents: events })], { type: "application/json" }));
    link.download = "run-" + data.invocation + ".trace.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });

  const failures = () => [...document.querySelectorAll("details.failure:not(.hidden)")];
  function step(by) {
    const all = failures();
    if (!all.length) return;
    const at = all.findIndex((f) => f.contains(document.activeElement));
    const to = at < 0 ? all.at(by < 0 ? -1 : 0) : all[(at + by + all.length) % all.length];
    to.open = true;
    to.querySelector("summary").focus();
    to.scrollIntoView();
  }
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) {
      if (e.key === "Escape") e.target.blur();
      return;
    }
    if (e.key === "/") { e.preventDefault(); $("f-text").focus(); }
    if (e.key === "n") step(1);
    if (e.key === "p") step(-1);
    if (e.key === "+") zoomTo(zoom * 2);
    if (e.key === "-") zoomTo(zoom / 2);
  });

  // What is scrolled to begins below what stays at the window's top.
  function pad() {
    const nav = document.querySelector("nav");
    document.documentElement.style.scrollPaddingTop = (getComputedStyle(nav).position === "sticky" ? nav.offsetHeight : 0) + 8 + "px";
  }

  $("axis-tools").hidden = $("axis-legend").hidden = false;
  drawAxis();
  pad();
  let resized = 0;
  addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(() => { drawAxis(); pad(); }, 150); });
  unfold();
})();
