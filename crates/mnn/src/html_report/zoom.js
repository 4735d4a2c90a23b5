"use strict";
// Zooms the charts: the wheel about the pointer, dragging moves, a double click shows all again.
// The curves are scaled as a group, with strokes that keep their widths; ticks are made anew.
const NAMESPACE = "http://www.w3.org/2000/svg";

// Round numbers within a range, about as many as wanted, with labels that differ.
function ticks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high && found.length < 50; i += 1) {
    const value = i * step;
    const large = Math.max(Math.abs(low), Math.abs(high)) >= 1e6 || digits > 6;
    const needed = Math.ceil(Math.log10(Math.max(Math.abs(low), Math.abs(high)) / step) + 1e-9);
    const text = large ? value.toExponential(Math.min(15, Math.max(0, needed))) : value.toFixed(digits);
    found.push({ value, text });
  }
  return found;
}

function element(parent, name, attributes, text) {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
}

function prepare(chart) {
  const svg = chart.querySelector("svg");
  const plot = svg.querySelector(".plot");
  const [x0, x1, y0, y1] = svg.dataset.range.split(" ").map(Number);
  const size = (name) => Number(plot.getAttribute(name));
  const [left, top, width, height] = ["x", "y", "width", "height"].map(size);
  // The part of the whole range that is shown: from 0 to 1 at first, upwards in y.
  let shown = { x: [0, 1], y: [0, 1] };

  function draw() {
    const [a, b] = shown.x;
    const [c, d] = shown.y;
    const scale = [1 / (b - a), 1 / (d - c)];
    const moved = [-a * width * scale[0], -(1 - d) * height * scale[1]];
    const curves = svg.querySelector(".curves");
    curves.setAttribute("transform", `translate(${moved}) scale(${scale})`);
    const group = svg.querySelector(".ticks");
    group.replaceChildren();
    const at = (low, high, [from, to]) => [low + from * (high - low), low + to * (high - low)];
    const [low, high] = at(x0, x1, shown.x);
    for (const { value, text } of ticks(low, high, 8)) {
      const x = left + ((value - low) / (high - low)) * width;
      element(group, "path", { d: `M${x} ${top}v${height}` });
      element(group, "text", { x, y: top + height + 15, class: "across" }, text);
    }
    const [bottom, upper] = at(y0, y1, shown.y);
    for (const { value, text } of ticks(bottom, upper, 5)) {
      const y = top + height - ((value - bottom) / (upper - bottom)) * height;
      element(group, "path", { d: `M${left} ${y}h${width}` });
      element(group, "text", { x: left - 6, y: y + 4, class: "up" }, text);
    }
  }

  // The place of the pointer, as parts of the plot from the left and from below.
  function pointer(event) {
    const box = plot.querySelector(".ground").getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height];
  }
  const along = ([from, to], part) => from + part * (to - from);

  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    // With shift held, some browsers turn the wheel's movement sideways.
    const turned = event.deltaY || event.deltaX;
    const factor = Math.exp(0.002 * Math.max(-300, Math.min(300, turned)));
    const about = pointer(event);
    const zoomed = (range, part) => {
      const fixed = along(range, part);
      const next = range.map((end) => fixed + factor * (end - fixed));
      const length = next[1] - next[0];
      return length > 1e-6 && length < 1e3 ? next : range;
    };
    shown = {
      x: event.shiftKey ? shown.x : zoomed(shown.x, about[0]),
      y: event.ctrlKey ? shown.y : zoomed(shown.y, about[1]),
    };
    draw();
  }, { passive: false });

  let held = null;
  svg.addEventListener("pointerdown", (event) => {
    held = { shown, at: pointer(event) };
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    if (held === null) return;
    const now = pointer(event);
    const moved = (range, i) => {
      const by = (now[i] - held.at[i]) * (range[1] - range[0]);
      return range.map((end) => end - by);
    };
    shown = { x: moved(held.shown.x, 0), y: moved(held.shown.y, 1) };
    draw();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    svg.addEventListener(end, () => { held = null; });
  }
  svg.addEventListener("dblclick", () => {
    shown = { x: [0, 1], y: [0, 1] };
    draw();
  });
  draw();
}

document.querySelectorAll(".chart").forEach(prepare);
document.documentElement.dataset.ready = String(document.querySelectorAll(".ticks text").length);
