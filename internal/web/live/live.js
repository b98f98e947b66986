"use strict";
// The live page: it shows the status that the server pushes.
const $ = id => document.getElementById(id);
let now = null;

function duration(s) {
  if (s < 90) return Math.max(0, Math.round(s)) + " s";
  if (s < 5400) return Math.round(s / 60) + " min";
  return (s / 3600).toFixed(1) + " h";
}

const since = time => duration((Date.now() - new Date(time)) / 1000);
const count = (n, what) => n.toLocaleString("en") + " " + what + (n === 1 ? "" : "s");

// row is a line of a table: the molecule, which is a link, and cells that are filled later.
function row(id) {
  const line = document.createElement("tr"), head = line.appendChild(document.createElement("th"));
  const link = head.appendChild(document.createElement("a"));
  line.dataset.id = id;
  head.scope = "row";
  link.href = "/molecule/" + encodeURIComponent(id);
  link.textContent = id;
  return line;
}

// fill shows a list as a table. A line that is there stays, with its focus and its selected text.
function fill(id, list, cells) {
  const body = $(id), shown = new Set(list.map(m => m.mol_id));
  for (const line of [...body.rows]) if (!shown.has(line.dataset.id)) line.remove();
  list.forEach((m, k) => {
    if (body.rows[k]?.dataset.id !== m.mol_id) {
      const known = [...body.rows].find(r => r.dataset.id === m.mol_id);
      body.insertBefore(known || row(m.mol_id), body.rows[k] || null);
    }
    cells(m).forEach((content, i) => {
      const cell = body.rows[k].cells[i + 1] || body.rows[k].insertCell();
      if (typeof content === "string") write(cell, content); else cell.replaceChildren(content);
    });
  });
  body.closest("section").hidden = list.length === 0;
}

function write(e, text) {
  if (e.textContent !== text) e.textContent = text;
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

function facts(s) {
  if (!s.batch) return "";
  const time = s.running ? "running for " + since(s.started) : "ended " + since(s.ended) + " ago";
  return [count(s.jobs, "job"), time, "last event " + since(s.last_event) + " ago"].join(" · ");
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
  // A screen reader need not hear each second.
  $("sentence").ariaLive = s.running ? "off" : "polite";
  write($("sentence"), sentence(s));
  write($("facts"), facts(s));
  const width = part => s.total ? 1000 * part / s.total : 0;
  const ok = width(s.done - s.failed), failed = width(s.failed);
  $("bar-ok").setAttribute("width", ok);
  $("bar-failed").setAttribute("x", ok);
  $("bar-failed").setAttribute("width", failed);
  fill("active", s.under_way, m => [progress(m), since(m.stage_since), since(m.since)]);
  fill("failures", s.failures, e => [e.status, e.error || ""]);
  fill("results", s.results, e => [
    e.seconds < 10 ? e.seconds.toFixed(1) + " s" : duration(e.seconds),
    (e.shown || []).join(" · ").replace(/-(?=\d)/g, "\u2212"),
    new Date(e.time).toLocaleTimeString()]);
}

// watch listens to the server. EventSource connects again by itself, but not after an answer that
// is an error.
function watch() {
  const source = new EventSource("/events");
  source.onopen = () => { now = null; };
  source.onmessage = e => { // the first has the whole status, each further one what changed
    now = { ...now, ...JSON.parse(e.data) };
    document.documentElement.dataset.connected = "yes";
    draw();
  };
  source.onerror = () => {
    document.documentElement.dataset.connected = "no";
    write($("sentence"), "The server does not answer. The page connects again by itself.");
    if (source.readyState === EventSource.CLOSED) setTimeout(watch, 5000);
  };
}

watch();
setInterval(() => { if (document.documentElement.dataset.connected === "yes") draw(); }, 1000);
