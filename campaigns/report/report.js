"use strict";
// Sortable tables ------------------------------------------------------------
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (head.dataset.fixed !== undefined) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.value ??
        row.cells[column].textContent.trim();
      const number = (text) => (text === "" || text === "–" ? NaN : Number(text));
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        const [m, n] = [number(x), number(y)];
        const both = Number.isFinite(m) && Number.isFinite(n);
        if (!both && Number.isFinite(m) !== Number.isFinite(n))
          return Number.isFinite(m) ? -1 : 1; // what has no value comes last
        return (up ? 1 : -1) * (both ? m - n : x.localeCompare(y));
      });
      table.tBodies[0].append(...rows);
    });
  });
}

// The structure viewer: an orthographic view, painted from back to front ------
const stage = document.querySelector(".viewer");
if (stage) {
  const all = JSON.parse(document.getElementById("structures").textContent);
  const canvas = stage.querySelector("canvas");
  const pen = canvas.getContext("2d");
  let shown = all[0], turn, zoom;

  const times = (m, n) => m.map((r) => n[0].map((_, j) =>
    r[0] * n[0][j] + r[1] * n[1][j] + r[2] * n[2][j]));
  const apply = (m, p) => m.map((r) => r[0] * p[0] + r[1] * p[1] + r[2] * p[2]);
  const aboutX = (a) => [[1, 0, 0], [0, Math.cos(a), -Math.sin(a)],
    [0, Math.sin(a), Math.cos(a)]];
  const aboutY = (a) => [[Math.cos(a), 0, Math.sin(a)], [0, 1, 0],
    [-Math.sin(a), 0, Math.cos(a)]];
  const aboutZ = (a) => [[Math.cos(a), -Math.sin(a), 0],
    [Math.sin(a), Math.cos(a), 0], [0, 0, 1]];
  const mix = (colour, share) => "#" + [1, 3, 5].map((i) => {
    const v = parseInt(colour.slice(i, i + 2), 16);
    const w = share < 0 ? v * (1 + share) : v + (255 - v) * share;
    return Math.round(w).toString(16).padStart(2, "0");
  }).join("");

  // For the solid picture of interactive.js, where the browser can draw it.
  function tell() {
    stage.current = { scene: shown.scene, turn,
      label: `Structure of ${shown.formula}, ${shown.id}` };
    stage.dispatchEvent(new Event("change"));
  }

  function reset() {
    turn = times(aboutX(-72 * Math.PI / 180), aboutZ(-22 * Math.PI / 180));
    zoom = 1;
    draw();
    tell();
  }

  // Look along a cell vector: it points out of the screen.
  function along(which) {
    const v = shown.scene.cell[which];
    const length = Math.hypot(...v);
    const z = v.map((x) => x / length);
    const help = Math.abs(z[2]) < 0.9 ? [0, 0, 1] : [0, 1, 0];
    const cross = (p, q) => [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2],
      p[0] * q[1] - p[1] * q[0]];
    const x = cross(help, z);
    const size = Math.hypot(...x);
    const right = x.map((c) => c / size);
    turn = [right, cross(z, right), z];
    draw();
    tell();
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [canvas.clientWidth, canvas.clientHeight];
    if (!w) return;
    canvas.width = w * ratio;
    canvas.height = h * ratio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const scene = shown.scene;
    const reach = Math.max(...scene.edges.flat().map((p) => Math.hypot(...p)),
      ...scene.atoms.map((a) => Math.hypot(a[0], a[1], a[2]) +
        scene.elements[a[3]].radius));
    const scale = zoom * 0.47 * Math.min(w, h) / reach;
    const at = (p) => [w / 2 + scale * p[0], h / 2 - scale * p[1]];
    const fog = (z) => 0.38 * (1 - (z + reach) / (2 * reach));
    const parts = [];
    const line = (p, q, colour, width) => parts.push([(p[2] + q[2]) / 2, () => {
      pen.strokeStyle = mix(colour, fog((p[2] + q[2]) / 2));
      pen.lineWidth = width;
      pen.lineCap = "round";
      pen.beginPath();
      pen.moveTo(...at(p));
      pen.lineTo(...at(q));
      pen.stroke();
    }]);
    for (const edge of scene.edges) {
      const [p, q] = edge.map((e) => apply(turn, e));
      for (let i = 0; i < 10; i++)
        line(p.map((v, k) => v + (q[k] - v) * i / 10),
          p.map((v, k) => v + (q[k] - v) * (i + 1) / 10), "#334155", 1.3);
    }
    const places = scene.atoms.map((a) => apply(turn, a));
    for (const [i, j] of scene.bonds) {
      const middle = places[i].map((v, k) => (v + places[j][k]) / 2);
      for (const end of [i, j]) {
        const element = scene.elements[scene.atoms[end][3]];
        line(places[end], middle, mix(element.colour, -0.12), Math.max(2, 0.2 * scale));
      }
    }
    places.forEach((p, i) => {
      const element = scene.elements[scene.atoms[i][3]];
      parts.push([p[2], () => {
        const [x, y] = at(p);
        const r = scale * element.radius;
        const colour = mix(element.colour, fog(p[2]));
        const shade = pen.createRadialGradient(x - 0.35 * r, y - 0.4 * r, 0.05 * r,
          x, y, 1.05 * r);
        shade.addColorStop(0, mix(colour, 0.75));
        shade.addColorStop(0.45, colour);
        shade.addColorStop(1, mix(colour, -0.45));
        pen.fillStyle = shade;
        pen.beginPath();
        pen.arc(x, y, r, 0, 2 * Math.PI);
        pen.fill();
      }]);
    });
    parts.sort((a, b) => a[0] - b[0]);
    for (const part of parts) part[1]();
  }

  function spin(dx, dy) {
    turn = times(times(aboutX(dy), aboutY(dx)), turn);
    draw();
  }

  function show(index) {
    shown = all[index];
    const row = document.querySelector(`tr[data-structure="${index}"]`);
    document.querySelectorAll("tr.shown").forEach((r) => r.classList.remove("shown"));
    row.classList.add("shown");
    const part = (name) => stage.querySelector(`[data-part="${name}"]`);
    part("formula").innerHTML = row.querySelector("[data-cell=formula]").innerHTML;
    part("legend").innerHTML = row.querySelector("[data-cell=legend]").innerHTML;
    for (const name of ["id", "type", "cell", "value", "reason"])
      part(name).textContent = shown[name];
    const link = row.querySelector("a[download]");
    part("cif").href = link.href;
    part("cif").download = link.download;
    part("text").textContent = decodeURIComponent(link.href.split(",").slice(1).join(","));
    canvas.setAttribute("aria-label", `Structure of ${shown.formula}, ${shown.id}`);
    reset();
  }

  let held = null;
  const pointers = new Map();
  canvas.addEventListener("pointerdown", (e) => {
    canvas.setPointerCapture(e.pointerId);
    pointers.set(e.pointerId, e);
    held = e;
  });
  canvas.addEventListener("pointermove", (e) => {
    if (!pointers.has(e.pointerId)) return;
    if (pointers.size === 2) { // two fingers: zoom
      const span = (m) => { const [p, q] = [...m.values()];
        return Math.hypot(p.clientX - q.clientX, p.clientY - q.clientY); };
      const before = span(pointers);
      pointers.set(e.pointerId, e);
      zoom = Math.min(6, Math.max(0.4, zoom * span(pointers) / before));
      draw();
    } else {
      spin((e.clientX - held.clientX) * 0.01, (e.clientY - held.clientY) * 0.01);
    }
    pointers.set(e.pointerId, e);
    held = e;
  });
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, (e) => pointers.delete(e.pointerId));
  canvas.addEventListener("wheel", (e) => {
    if (document.activeElement !== canvas && !e.ctrlKey) return; // let the page scroll
    e.preventDefault();
    zoom = Math.min(6, Math.max(0.4, zoom * Math.exp(-e.deltaY * 0.0015)));
    draw();
  }, { passive: false });
  canvas.addEventListener("keydown", (e) => {
    const step = Math.PI / 18;
    const keys = { ArrowLeft: () => spin(-step, 0), ArrowRight: () => spin(step, 0),
      ArrowUp: () => spin(0, -step), ArrowDown: () => spin(0, step),
      "+": () => { zoom = Math.min(6, zoom * 1.15); draw(); },
      "-": () => { zoom = Math.max(0.4, zoom / 1.15); draw(); },
      a: () => along(0), b: () => along(1), c: () => along(2), Home: reset, "0": reset };
    if (!keys[e.key] || e.ctrlKey || e.metaKey || e.altKey) return;
    e.preventDefault();
    keys[e.key]();
  });
  stage.querySelectorAll("button[data-along]").forEach((b) =>
    b.addEventListener("click", () => along(Number(b.dataset.along))));
  stage.querySelector("button[data-reset]").addEventListener("click", reset);
  document.querySelectorAll("tr[data-structure] .structure button").forEach((b) =>
    b.addEventListener("click", () => {
      show(Number(b.closest("tr").dataset.structure));
      stage.scrollIntoView({ block: "nearest" });
    }));
  // A frame that forbids downloads forbids them silently: there the text opens instead.
  const framed = window.self !== window.top;
  document.querySelectorAll("a[download$='.cif'], [data-part='cif']").forEach((link) =>
    link.addEventListener("click", () => {
      if (!framed) return;
      const row = link.closest("tr[data-structure]");
      if (row) show(Number(row.dataset.structure));
      stage.querySelector("details").open = true;
      stage.scrollIntoView({ block: "nearest" });
    }));
  window.addEventListener("resize", draw);
  stage.hidden = false;
  show(0);
}
