// Draws the plots of a verdict report: for each case a stack of panels on one time axis that zoom together.
// Owns drawing and zooming only. What is drawn, and the words on it, come from bench/report/plot.py; scales, axes and
// the brush from D3 3.5, which stands before this script in the page.
(() => {
  "use strict";
  const LEFT = 76, RIGHT = 24, TOP = 6, NARROWEST_S = 0.002, HATCH = 9;
  const DASH = { nominal: [2, 3], baseline: [7, 4], committed: [7, 3, 2, 3], dispatch: [5, 3] };
  const HEIGHT = { power: 265, heat: 160 }, SIGNAL_HEIGHT = 95, LANE_HEIGHT = 22, AXIS_HEIGHT = 22;
  const STEPS_S = [1e-4, 1e-3, 1e-2, 0.1].flatMap((unit) => [unit, 2 * unit, 5 * unit])
    .concat([1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 604800]);
  const BOLD = "600 10.5px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
  const OUTCOME = { PASS: "pass", FAIL: "fail", ERROR: "fail", ABORTED: "fail" };

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const decimals = (step) => Math.min(6, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));

  function decode(coded) {
    let total = 0;
    return coded.d.map((step) => (step === null ? null : (total += step) * coded.quantum));
  }

  // Seconds, or minutes and seconds where `farthest` (the largest time in sight) asks for them.
  function clock(seconds, step, farthest) {
    if (step < 1 || farthest < 300) return seconds.toFixed(decimals(step)) + " s";
    const whole = Math.round(Math.abs(seconds)), two = (part) => String(part).padStart(2, "0");
    const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    return (seconds < 0 ? "−" : "") + (hours ? hours + ":" + two(minutes) : minutes) + ":" + two(whole % 60);
  }

  // ---- drawing on a panel's canvas, in its own pixels ---------------------------------------------------------

  function rule(ctx, x0, y0, x1, y1, stroke, width, dash) {
    ctx.strokeStyle = stroke;
    ctx.lineWidth = width;
    ctx.setLineDash(dash || []);
    ctx.beginPath();
    ctx.moveTo(x0, y0);
    ctx.lineTo(x1, y1);
    ctx.stroke();
    ctx.setLineDash([]);
  }

  function hatch(ctx, x, y, width, height, stroke) {
    ctx.save();
    ctx.beginPath();
    ctx.rect(x, y, width, height);
    ctx.clip();
    ctx.globalAlpha = 0.75;
    const from = Math.max(x, 0), to = Math.min(x + width, ctx.canvas.clientWidth);
    for (let at = from - height; at < to; at += 7) rule(ctx, at, y + height, at + height, y, stroke, 1);
    ctx.restore();
  }

  function words(ctx, text, x, y, ink) {
    ctx.fillStyle = ink;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.fillText(text, x, y);
  }

  // A word beside a line; moves aside for words already there, and shrinks to its tag where there is no room.
  function caption(ctx, p, taken, tag, label, x, y, room, ink, above) {
    const height = 14;
    ctx.font = BOLD;
    for (const text of label ? [`${tag}  ${label}`, tag] : [tag]) {
      const width = ctx.measureText(text).width + 8;
      if (text !== tag && width > room) continue;
      for (let shift = 0; shift < 12; shift++) {
        const left = Math.min(Math.max(x, 0) + 4 + shift * 34, p.width - width);
        const top = Math.min(Math.max(above ? y - height - 2 : y + 2, 1), p.height - height - 1);
        const box = [left, top, left + width, top + height];
        if (taken.some((b) => box[0] < b[2] && box[2] > b[0] && box[1] < b[3] && box[3] > b[1])) {
          if (text !== tag && shift > 2) break;
          continue;
        }
        taken.push(box);
        ctx.globalAlpha = 0.88;
        ctx.fillStyle = colour("paper");
        ctx.fillRect(left, top, width, height);
        ctx.globalAlpha = 1;
        words(ctx, text, left + 4, top + height / 2 + 0.5, ink);
        return;
      }
    }
  }

  function backdrop(ctx, p, spans) {
    for (const span of spans) {
      const tone = colour(span.style === "fault" ? "fault" : "event"), from = p.x(span.start), to = p.x(span.stop);
      ctx.globalAlpha = span.style === "quiet" ? 0.05 : 0.09;
      ctx.fillStyle = tone;
      ctx.fillRect(from, 0, to - from, p.height);
      ctx.globalAlpha = 0.8;
      for (const x of [from, to]) rule(ctx, x, 0, x, p.height, tone, 1, [2, 3]);
      ctx.globalAlpha = 1;
    }
  }

  function limits(ctx, p, panel) {
    for (const level of panel.levels) {
      const y = p.y(level.value);
      rule(ctx, p.x(level.start), y, p.x(level.stop), y, colour(level.style), 1.3, DASH[level.style]);
    }
    for (const edge of panel.edges) {
      const tone = colour(OUTCOME[edge.outcome] || "doubt"), from = p.x(edge.start);
      const width = Math.max(p.x(edge.stop) - from, 3);
      for (const [bound, side] of [[edge.low, 1], [edge.high, -1]]) {
        if (bound === null) continue;
        const y = p.y(bound);
        hatch(ctx, from, side > 0 ? y : y - HATCH, width, HATCH, tone);
        rule(ctx, from, y, from + width, y, tone, 1.8);
        rule(ctx, from, y, from, y + side * HATCH, tone, 1.8);
      }
    }
  }

  function line(ctx, p, t, values, style, dots) {
    const [from, to] = p.x.domain();
    const first = Math.max(0, d3.bisectLeft(t, from) - 1), last = Math.min(t.length - 1, d3.bisectRight(t, to));
    ctx.strokeStyle = ctx.fillStyle = colour(style);
    ctx.lineWidth = style === "dispatch" ? 1.4 : 1.7;
    ctx.lineJoin = "round";
    ctx.setLineDash(DASH[style] || []);
    ctx.beginPath();
    for (let i = first, gap = true; i <= last; i++) {
      if (values[i] === null) gap = true;
      else {
        ctx[gap ? "moveTo" : "lineTo"](p.x(t[i]), p.y(values[i]));
        gap = false;
      }
    }
    ctx.stroke();
    ctx.setLineDash([]);
    if (!dots || last - first > p.width / 10) return;
    for (let i = first; i <= last; i++) if (values[i] !== null) ctx.fillRect(p.x(t[i]) - 2, p.y(values[i]) - 2, 4, 4);
  }

  function captions(ctx, p, panel) {
    const taken = [];
    const seen = (part) => Math.min(p.x(part.stop), p.width) - Math.max(p.x(part.start), 0);
    for (const edge of panel.edges.filter((each) => seen(each) > 0)) {
      const below = edge.high === null, y = p.y(below ? edge.low : edge.high) + (below ? HATCH : -HATCH);
      const ink = colour(OUTCOME[edge.outcome] || "doubt");
      caption(ctx, p, taken, edge.tag, edge.label, p.x(edge.start), y, seen(edge), ink, !below);
    }
    for (const level of panel.levels.filter((each) => seen(each) > 0)) {
      const x = Math.max(Math.min(p.x(level.stop), p.width) - 100, p.x(level.start));
      caption(ctx, p, taken, level.tag, level.label, x, p.y(level.value), seen(level), colour(level.style), true);
    }
  }

  function lanes(ctx, p, spec) {
    ctx.font = BOLD;
    spec.lanes.forEach((lane, row) => {
      const top = p.y(row + 0.1), height = p.y(row + 0.9) - top;
      for (const span of lane.spans) {
        const tone = colour(span.style === "fault" ? "fault" : "event"), from = p.x(span.start);
        const width = Math.max(p.x(span.stop) - from, 2);
        ctx.globalAlpha = 0.28;
        ctx.fillStyle = tone;
        ctx.fillRect(from, top, width, height);
        ctx.globalAlpha = 1;
        rule(ctx, from, top, from, top + height, tone, 2);
        const x = Math.max(from, 0) + 5, room = Math.min(from + width, p.width) - x - 4;
        const text = [`${span.tag}  ${span.label}`, span.tag].find((each) => ctx.measureText(each).width < room);
        if (text) words(ctx, text, x, top + height / 2 + 0.5, colour("ink"));
      }
      for (const t of lane.at) rule(ctx, p.x(t), top, p.x(t), top + height, colour("tick"), 1);
    });
  }

  // ---- the heat map -------------------------------------------------------------------------------------------

  function shades(step) {
    const [off, full] = [colour("heat-off"), colour("heat-full")], mix = d3.interpolateRgb(off, full);
    return d3.range(256).map((level) => {
      const share = level * step;
      const tone = d3.rgb(level === 255 ? colour("heat-gap") : share < 1.05 ? mix(Math.min(share, 1)) : colour("heat-over"));
      return [tone.r, tone.g, tone.b];
    });
  }

  function prepare(heat, ready) {
    heat.at = decode(heat.edges);
    heat.picture = Object.assign(document.createElement("canvas"), { width: heat.columns, height: heat.rows });
    const image = new Image();
    image.onload = () => {
      const ctx = heat.picture.getContext("2d", { willReadFrequently: true });
      ctx.drawImage(image, 0, 0);
      heat.grey = ctx.getImageData(0, 0, heat.columns, heat.rows).data.filter((_, i) => i % 4 === 0);
      ready();
    };
    image.src = heat.png;
  }

  function paint(heat) {
    const pixels = new ImageData(heat.columns, heat.rows), shade = shades(heat.step);
    heat.painted = colour("heat-full");
    heat.grey.forEach((level, i) => {
      const [red, green, blue] = shade[level];
      pixels.data[4 * i] = red;
      pixels.data[4 * i + 1] = green;
      pixels.data[4 * i + 2] = blue;
      pixels.data[4 * i + 3] = 255;
    });
    heat.picture.getContext("2d").putImageData(pixels, 0, 0);
  }

  function miners(ctx, p, heat) {
    if (!heat.grey) return;
    if (heat.painted !== colour("heat-full")) paint(heat);
    ctx.imageSmoothingEnabled = false;
    for (let column = 0; column < heat.columns; column++) {
      const from = p.x(heat.at[column]), to = p.x(heat.at[column + 1]);
      if (to > 0 && from < p.width) ctx.drawImage(heat.picture, column, 0, 1, heat.rows, from, 0, to - from + 0.5, p.height);
    }
  }

  // ---- one panel: a canvas for what is drawn, and an SVG over it for axes, pointer and brush -------------------

  class Panel {
    // `about`: id, label, height, ticks(y) -> [values, text], range() -> [low, high], flipped, draw(ctx, panel),
    // read(panel, seconds, pointer) -> text beside the label, bare (no time axis)
    constructor(plot, about) {
      Object.assign(this, about, { plot, x: plot.x, y: d3.scale.linear() });
      this.head = d3.select(plot.host).append("div").attr("class", "pane");
      this.head.append("b").text(this.label);
      this.output = this.head.append("output");
      if (!this.label) this.head.remove();
      const holder = d3.select(plot.host).append("div").attr("class", "panel-drawing").attr("data-panel", this.id);
      this.canvas = holder.append("canvas").node();
      this.svg = holder.append("svg").attr("height", this.height + TOP + (this.bare ? 4 : AXIS_HEIGHT));
      const inner = this.svg.append("g").attr("transform", `translate(${LEFT},${TOP})`);
      this.axisX = inner.append("g").attr("class", "axis").attr("transform", `translate(0,${this.height})`);
      this.axisY = inner.append("g").attr("class", "axis");
      this.cursor = inner.append("line").attr("class", "cursor").attr("y2", this.height).style("display", "none");
      this.brush = d3.svg.brush().on("brushend", () => this.brushed());
      this.brushing = inner.append("g").attr("class", "brush");
      this.svg.on("mousemove", () => plot.point(d3.mouse(inner.node()), this)).on("mouseleave", () => plot.point(null))
        .on("dblclick", () => plot.zoom(plot.spec.start, plot.spec.stop));
    }

    resize(width) {
      const ratio = window.devicePixelRatio || 1;
      this.width = width;
      this.svg.attr("width", width + LEFT + RIGHT);
      Object.assign(this.canvas, { width: Math.round(width * ratio), height: Math.round(this.height * ratio) });
      Object.assign(this.canvas.style, { left: `${LEFT}px`, top: `${TOP}px`, width: `${width}px`, height: `${this.height}px` });
      this.canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
      this.brushing.call(this.brush.x(this.x)).selectAll("rect").attr("height", this.height);
    }

    redraw() {
      const ctx = this.canvas.getContext("2d"), [from, to] = this.x.domain();
      this.y.domain(this.range()).range(this.flipped ? [0, this.height] : [this.height, 0]);
      const step = STEPS_S.find((each) => ((to - from) / each) * 90 <= this.width) || STEPS_S[STEPS_S.length - 1];
      const times = d3.range(Math.ceil(from / step - 1e-9), to / step + 1e-9).map((count) => count * step);
      const farthest = d3.max(times, Math.abs), [values, text] = this.ticks(this.y);
      ctx.clearRect(0, 0, this.width, this.height);
      if (!this.flipped) for (const value of values) rule(ctx, 0, this.y(value), this.width, this.y(value), colour("rule"), 1);
      for (const t of times) rule(ctx, this.x(t), 0, this.x(t), this.height, colour("rule"), 1);
      this.draw(ctx, this);
      const time = d3.svg.axis().scale(this.x).orient("bottom").tickValues(times).outerTickSize(0);
      this.axisX.call(time.tickFormat((t) => (this.bare ? "" : clock(t, step, farthest))).innerTickSize(this.bare ? 0 : 4));
      const side = d3.svg.axis().scale(this.y).orient("left").tickValues(values).tickFormat(text).outerTickSize(0);
      this.axisY.call(side.innerTickSize(this.flipped ? 0 : 4).tickPadding(6));
    }

    brushed() {
      const empty = this.brush.empty(), [from, to] = this.brush.extent();
      this.brushing.call(this.brush.clear());
      if (!empty && this.x(to) - this.x(from) > 4) this.plot.zoom(from, to);
    }

    point(seconds, pointer) {
      const inside = seconds !== null && this.x(seconds) >= 0 && this.x(seconds) <= this.width;
      this.cursor.style("display", inside ? null : "none");
      if (inside) this.cursor.attr({ x1: this.x(seconds), x2: this.x(seconds) });
      this.output.text(inside ? this.read(this, seconds, pointer) : "");
    }
  }

  // ---- one case: panels on one time scale ----------------------------------------------------------------------

  class CasePlot {
    constructor(figure) {
      this.figure = figure;
      this.spec = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
      this.spans = this.spec.lanes.flatMap((lane) => lane.spans);
      for (const lane of this.spec.lanes) lane.at = lane.ticks ? decode(lane.ticks) : [];
      this.host = figure.querySelector(".canvas");
      this.x = d3.scale.linear().domain([this.spec.start, this.spec.stop]);
      this.fit = false;
      this.panels = [this.lanes(), ...this.spec.panels.map((panel) => this.diagram(panel))];
      if (this.spec.heat) this.panels.push(this.heat(this.spec.heat));
      this.listen();
      this.resize();
      this.zoom(this.spec.start, this.spec.stop);
    }

    lanes() {
      const { spec } = this, short = (text) => (text.length > 11 ? text.slice(0, 10) + "…" : text);
      return new Panel(this, {
        id: "lanes", label: "", height: spec.lanes.length * LANE_HEIGHT, bare: true, flipped: true,
        range: () => [0, spec.lanes.length], draw: (ctx, p) => lanes(ctx, p, spec), read: () => "",
        ticks: () => [spec.lanes.map((_, row) => row + 0.5), (at) => short(spec.lanes[Math.floor(at)].label)],
      });
    }

    diagram(panel) {
      const t = decode(panel.t), lines = panel.lines.map((each) => ({ ...each, values: decode(each.values) }));
      const power = panel.id === "power";
      const range = () => {
        const [from, to] = this.x.domain(), first = d3.bisectLeft(t, from), last = d3.bisectRight(t, to);
        const seen = lines.flatMap((each) => each.values.slice(first, last)).filter((value) => value !== null);
        if (!this.fit || !seen.length) return [panel.low, panel.high];
        const [low, high] = d3.extent(seen), pad = 0.1 * (high - low) || 0.01 * Math.abs(high) || 1;
        return [low - pad, high + pad];
      };
      return new Panel(this, {
        id: panel.id, label: `${panel.label} [${panel.unit}]`, height: power ? HEIGHT.power : SIGNAL_HEIGHT, range,
        ticks: (y) => [y.ticks(power ? 7 : 3), y.tickFormat(power ? 7 : 3)],
        draw: (ctx, p) => {
          backdrop(ctx, p, this.spans);
          limits(ctx, p, panel);
          for (const each of [...lines].reverse()) line(ctx, p, t, each.values, each.style, power);
          captions(ctx, p, panel);
        },
        read: (_, seconds) => {
          const right = Math.min(d3.bisectLeft(t, seconds), t.length - 1), left = Math.max(right - 1, 0);
          const at = seconds - t[left] < t[right] - seconds ? left : right;
          const said = lines.filter((each) => each.values[at] !== null)
            .map((each) => `${each.label} ${+each.values[at].toPrecision(6)} ${panel.unit}`);
          return [`t = ${+t[at].toFixed(4)} s`, ...said].join("  ·  ");
        },
      });
    }

    heat(heat) {
      const every = Math.ceil(heat.rows / 6), shown = d3.range(0, heat.rows, every);
      const short = (text) => (text.length > 11 ? "…" + text.slice(-10) : text);
      const panel = new Panel(this, {
        id: "heat", label: "Power of each miner, share of nominal", height: HEIGHT.heat, flipped: true,
        range: () => [0, heat.rows], draw: (ctx, p) => miners(ctx, p, heat),
        ticks: () => [shown.map((row) => row + 0.5), (at) => short(heat.miners[Math.floor(at)])],
        read: (p, seconds, pointer) => {
          const row = pointer === null ? -1 : Math.floor(p.y.invert(pointer)), column = d3.bisectRight(heat.at, seconds) - 1;
          if (!heat.grey || row < 0 || row >= heat.rows || column < 0 || column >= heat.columns) return "";
          const level = heat.grey[row * heat.columns + column];
          const share = level === 255 ? "unknown" : `${(100 * level * heat.step).toFixed(0)} %`;
          return `${heat.miners[row]}  ·  ${clock(seconds, 0.1, seconds)}  ·  ${share}`;
        },
      });
      prepare(heat, () => panel.redraw());
      return panel;
    }

    zoom(from, to) {
      const { start, stop } = this.spec;
      const width = Math.min(Math.max(to - from, NARROWEST_S), stop - start);
      const left = Math.min(Math.max(from, start), stop - width);
      this.x.domain([left, left + width]);
      Object.assign(this.figure.dataset, { from: left, to: left + width });
      for (const button of this.figure.querySelectorAll("button[data-from]")) {
        const off = Math.abs(button.dataset.from - left) + Math.abs(button.dataset.to - left - width);
        button.setAttribute("aria-pressed", off < 1e-6 * width);
      }
      this.redraw();
    }

    // Zoom by `scale` about `anchor` (0 left, 1 right) and move by a share of the width.
    change(scale, by = 0, anchor = 0.5) {
      const [from, to] = this.x.domain(), width = to - from, left = from + by * width + anchor * width * (1 - scale);
      this.zoom(left, left + width * scale);
    }

    point(at, over) {
      const seconds = at === null ? null : this.x.invert(at[0]);
      for (const panel of this.panels) panel.point(seconds, panel === over ? at[1] : null);
    }

    redraw() {
      for (const panel of this.panels) panel.redraw();
    }

    resize() {
      this.width = Math.max(200, Math.floor(this.host.clientWidth) - LEFT - RIGHT);
      this.x.range([0, this.width]);
      for (const panel of this.panels) panel.resize(this.width);
    }

    listen() {
      this.figure.querySelector(".tools").addEventListener("click", ({ target }) => {
        const { from, to, by, scale } = target.dataset;
        if (from !== undefined) this.zoom(+from, +to);
        else if (scale !== undefined) this.change(+scale, +by);
        else if ("fit" in target.dataset) {
          this.fit = !this.fit;
          target.setAttribute("aria-pressed", this.fit);
          this.redraw();
        }
      });
      const keys = { ArrowLeft: [1, -0.2], ArrowRight: [1, 0.2], "+": [0.5], "-": [2] };
      this.figure.addEventListener("keydown", (event) => {
        if (event.target !== this.figure || !(event.key in keys)) return;
        event.preventDefault();
        this.change(...keys[event.key]);
      });
      const share = (event) => (event.clientX - this.host.getBoundingClientRect().left - LEFT) / this.width;
      this.host.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.metaKey) return; // a plain wheel scrolls the page
        event.preventDefault();
        this.change(event.deltaY < 0 ? 0.8 : 1.25, 0, share(event));
      }, { passive: false });
      this.host.addEventListener("mousedown", (event) => {
        if (!event.shiftKey) return;
        event.stopPropagation(); // before the brush sees it
        event.preventDefault();
        let last = share(event);
        const move = (moved) => { this.change(1, last - share(moved)); last = share(moved); };
        document.addEventListener("mousemove", move);
        document.addEventListener("mouseup", () => document.removeEventListener("mousemove", move), { once: true });
      }, { capture: true });
      new ResizeObserver(() => {
        if (Math.floor(this.host.clientWidth) - LEFT - RIGHT === this.width) return;
        this.resize();
        this.redraw();
      }).observe(this.host);
    }
  }

  // ---- the page -----------------------------------------------------------------------------------------------

  document.documentElement.classList.add("js");
  const figures = [...document.querySelectorAll("figure.plot")], drawn = new Map();
  const draw = (figure) => drawn.has(figure) || drawn.set(figure, new CasePlot(figure));
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
  }, { rootMargin: "800px" });
  for (const figure of figures) near.observe(figure);
  const everywhere = () => drawn.forEach((plot) => { plot.resize(); plot.redraw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", everywhere);
  const paper = (on) => {
    document.documentElement.classList.toggle("paper", on);
    figures.forEach(draw);
    for (const figure of figures) figure.querySelector(".canvas").style.width = on ? "680px" : "";
    everywhere();
  };
  addEventListener("beforeprint", () => paper(true));
  addEventListener("afterprint", () => paper(false));
})();
