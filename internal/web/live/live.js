"use strict";
// The live page: it shows the status that the server pushes. EventSource connects again by itself.
const $ = id => document.getElementById(id);
let now = null;

function duration(s) {
  if (s < 90) return Math.max(0, Math.round(s)) + " s";
  if (s < 5400) return Math.round(s / 60) + " min";
  return (s / 3600).toFixed(1) + " h";
}

const since = time => duration((Date.now() - new Date(time)) / 1000);
const count = (n, what) => n.toLocaleString("en") + " " + what + (n === 1 ? "" : "s");

function row(cells) {
  const line = document.createElement("tr");
  cells.forEach((cell, i) => {
    const e = document.createElement(i ? "td" : "th");
    if (i === 0) {
      const link = document.createElement("a");
      link.href = "/molecule/" + encodeURIComponent(cell);
      link.textContent = cell;
      e.scope = "row";
      e.append(link);
    } else {
      e.append(cell);
    }
    line.append(e);
  });
  return line;
}

function sentence(s) {
  if (!s.batch) return "No batch has run yet. This page shows the next one.";
  const done = s.done.toLocaleString("en") + " of " + count(s.total, "molecule") + " done";
  const failed = s.failed ? ", " + s.failed.toLocaleString("en") + " failed" : "";
  if (!s.running) return done + failed + ". The batch has ended.";
  if (s.stopping) return done + failed + ". The batch is stopping.";
  const rest = s.rest_seconds - (Date.now() - new Date(s.last_event)) / 1000;
  return done + failed + (rest > 0 ? "; about " + duration(rest) + " left." : ".");
}

// progress shows where a molecule under way is among the stages that have a title. Of another stage
// the bar is without a value.
function progress(m) {
  const cell = document.createElement("span"), bar = document.createElement("progress");
  bar.max = now.stages.length;
  const at = now.stages.indexOf(m.stage);
  if (at >= 0) bar.value = at + m.finished / m.targets;
  bar.setAttribute("aria-label", "Stages of " + m.mol_id);
  cell.append(bar, " " + m.stage + (m.targets > 1 ? " " + m.finished + "/" + m.targets : ""));
  return cell;
}

function draw() {
  const s = now;
  if (!s) return;
  $("title").textContent = s.batch ? "Batch " + s.batch : "No batch";
  document.title = s.total ? Math.floor(100 * s.done / s.total) + " % of the batch" : "No batch";
  $("sentence").textContent = sentence(s);
  $("facts").textContent = s.batch ? count(s.jobs, "job") + (s.running ? " · running for " + since(s.started)
    : " · ended " + since(s.ended) + " ago") + " · last event " + since(s.last_event) + " ago" : "";
  const ok = s.total ? 1000 * (s.done - s.failed) / s.total : 0, failed = s.total ? 1000 * s.failed / s.total : 0;
  $("bar-ok").setAttribute("width", ok);
  $("bar-failed").setAttribute("x", ok);
  $("bar-failed").setAttribute("width", failed);
  const fill = (id, rows) => {
    $(id).replaceChildren(...rows.map(row));
    $(id).closest("section").hidden = rows.length === 0;
  };
  fill("active", s.under_way.map(m => [m.mol_id, progress(m), since(m.stage_since), since(m.since)]));
  fill("failures", s.failures.map(e => [e.mol_id, e.status, e.error || ""]));
  fill("results", s.results.map(e => [e.mol_id, e.seconds < 10 ? e.seconds.toFixed(1) + " s" : duration(e.seconds),
    ((e.values && e.values.most_stable_hof) || "").replace("-", "\u2212"), new Date(e.time).toLocaleTimeString()]));
}

const source = new EventSource("/events");
source.onopen = () => { now = null; };
source.onmessage = e => { // the first has the whole status, each further one what changed
  now = { ...now, ...JSON.parse(e.data) };
  document.documentElement.dataset.connected = "yes";
  draw();
};
source.onerror = () => {
  document.documentElement.dataset.connected = "no";
  $("sentence").textContent = "The server does not answer. The page connects again by itself.";
};
setInterval(() => { if (document.documentElement.dataset.connected === "yes") draw(); }, 1000);
