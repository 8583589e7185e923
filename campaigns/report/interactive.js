"use strict";
// Plotly is unpacked after the page is shown; until then, in print, and where a browser
// cannot, the vector figures and the painted structures stay.
(async () => {
  const packed = document.getElementById("plotly");
  if (!packed || !window.DecompressionStream) return;
  try {
    const bytes = Uint8Array.from(atob(packed.textContent.trim()), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    packed.remove();
  } catch (error) {
    console.error(error);
    return;
  }
  const plain = { responsive: true, displaylogo: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  for (const spec of document.querySelectorAll("script[data-figure]")) {
    const figure = spec.closest("figure");
    const place = document.createElement("div");
    place.className = "interactive";
    figure.insertBefore(place, spec);
    const { data, layout } = JSON.parse(spec.textContent);
    figure.classList.add("drawn"); // shown first: a hidden place has no width to fill
    await Plotly.newPlot(place, data, layout, plain);
  }
  const stage = document.querySelector(".viewer");
  if (stage && webgl()) solids(stage);

  function webgl() {
    try {
      return Boolean(document.createElement("canvas").getContext("webgl"));
    } catch {
      return false;
    }
  }

  // Balls and sticks as triangles, one mesh for each element ------------------------
  function solids(stage) {
    const place = document.createElement("div");
    place.className = "solid";
    place.setAttribute("role", "img");
    stage.prepend(place);
    stage.classList.add("drawn");
    stage.querySelector("#keys").textContent =
      "Drag to turn, wheel to zoom, point at an atom for its place.";
    let waiting = Promise.resolve();
    const draw = () => {
      const { scene, turn, label } = stage.current;
      place.setAttribute("aria-label", label);
      waiting = waiting.then(() => Plotly.react(place, traces(scene, light(turn)),
        stand(scene, turn), { ...plain, displayModeBar: false, scrollZoom: true }));
    };
    stage.addEventListener("change", draw);
    draw();
  }

  // From the upper left of the first view, and fixed to the crystal: plotly's own light
  // leaves small balls dark under an orthographic camera.
  function light(turn) {
    const l = turn[2].map((v, n) => 0.75 * v + 0.55 * turn[1][n] - 0.35 * turn[0][n]);
    const length = Math.hypot(...l);
    return l.map((v) => v / length);
  }

  function shade(colour, normal, lamp) {
    const facing = normal.reduce((sum, v, n) => sum + v * lamp[n], 0);
    const share = 0.62 + 0.38 * facing; // 0.24 to 1
    const glint = 90 * Math.max(0, facing) ** 24;
    return "rgb(" + [1, 3, 5].map((i) => Math.round(Math.min(255,
      parseInt(colour.slice(i, i + 2), 16) * share + glint))).join(",") + ")";
  }

  function stand(scene, turn) {
    const reach = 1.02 * Math.max(...scene.edges.flat().map((p) => Math.hypot(...p)),
      ...scene.atoms.map((a) => Math.hypot(a[0], a[1], a[2]) +
        scene.elements[a[3]].radius));
    const axis = { visible: false, range: [-reach, reach], autorange: false };
    const at = (v, s) => ({ x: s * v[0], y: s * v[1], z: s * v[2] });
    return { margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false,
      paper_bgcolor: "rgba(0,0,0,0)", scene: { xaxis: axis, yaxis: axis, zaxis: axis,
        aspectmode: "manual", aspectratio: { x: 1.7, y: 1.7, z: 1.7 }, dragmode: "orbit",
        camera: { eye: at(turn[2], 2), up: at(turn[1], 1), center: at([0, 0, 0], 1),
          projection: { type: "orthographic" } } } };
  }

  function traces(scene, lamp) {
    const meshes = scene.elements.map((e) => ({ x: [], y: [], z: [], i: [], j: [], k: [],
      text: [], vertexcolor: [], paint: (normal) => shade(e.colour, normal, lamp) }));
    const middle = (p, q) => p.map((v, n) => (v + q[n]) / 2);
    for (const [x, y, z, kind] of scene.atoms) {
      const e = scene.elements[kind];
      const where = [x, y, z].map((v) => v.toFixed(2)).join(", ");
      ball(meshes[kind], [x, y, z], e.radius, `${e.symbol} (${where}) Å`);
    }
    for (const [a, b] of scene.bonds) {
      const [p, q] = [scene.atoms[a], scene.atoms[b]];
      const half = middle(p.slice(0, 3), q.slice(0, 3));
      for (const atom of [p, q])
        stick(meshes[atom[3]], atom.slice(0, 3), half, 0.1, scene.elements[atom[3]].symbol);
    }
    const solid = meshes.map(({ paint, ...m }) => ({ type: "mesh3d", ...m,
      hoverinfo: "text", lighting: { ambient: 1, diffuse: 0, specular: 0, fresnel: 0 } }));
    const edge = { x: [], y: [], z: [] };
    for (const [p, q] of scene.edges)
      ["x", "y", "z"].forEach((k, n) => edge[k].push(p[n], q[n], null));
    return [...solid.filter((m) => m.x.length), { type: "scatter3d", mode: "lines",
      hoverinfo: "skip", line: { color: "#334155", width: 2.5 }, ...edge }];
  }

  function ball(mesh, centre, radius, text) {
    const [rows, columns, first] = [14, 22, mesh.x.length];
    for (let r = 0; r <= rows; r++)
      for (let c = 0; c < columns; c++) {
        const [t, f] = [Math.PI * r / rows, 2 * Math.PI * c / columns];
        const out = [Math.sin(t) * Math.cos(f), Math.sin(t) * Math.sin(f), Math.cos(t)];
        point(mesh, centre.map((v, n) => v + radius * out[n]), out, text);
      }
    strips(mesh, first, rows, columns);
  }

  function stick(mesh, from, to, radius, text) {
    const along = to.map((v, n) => v - from[n]);
    const length = Math.hypot(...along);
    if (!length) return;
    const z = along.map((v) => v / length);
    const help = Math.abs(z[2]) < 0.9 ? [0, 0, 1] : [0, 1, 0];
    const cross = (p, q) => [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2],
      p[0] * q[1] - p[1] * q[0]];
    const side = cross(help, z);
    const size = Math.hypot(...side);
    const x = side.map((v) => v / size);
    const y = cross(z, x);
    const [columns, first] = [10, mesh.x.length];
    for (const end of [from, to])
      for (let c = 0; c < columns; c++) {
        const f = 2 * Math.PI * c / columns;
        const out = x.map((v, n) => Math.cos(f) * v + Math.sin(f) * y[n]);
        point(mesh, end.map((v, n) => v + radius * out[n]), out, text);
      }
    strips(mesh, first, 1, columns);
  }

  function point(mesh, at, normal, text) {
    mesh.vertexcolor.push(mesh.paint(normal));
    mesh.x.push(at[0]);
    mesh.y.push(at[1]);
    mesh.z.push(at[2]);
    mesh.text.push(text);
  }

  function strips(mesh, first, rows, columns) {
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++) {
        const [a, b] = [first + r * columns + c, first + r * columns + (c + 1) % columns];
        mesh.i.push(a, b);
        mesh.j.push(b, b + columns);
        mesh.k.push(a + columns, a + columns);
      }
  }
})();
