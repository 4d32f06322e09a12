"use strict";

const at = (id) => document.getElementById(id);
let token = "";
let chosen = [];
let about = null;
let requestNumber = 0;

function make(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// a phone gets a drawing with one lead per row, which fits its width
const narrow = () => window.matchMedia("(max-width: 40rem)").matches;
const failure = (field, what, remedy) => ({ problems: [{ field, what, remedy }], reasons: [] });
const sentence = (text) => text[0].toUpperCase() + text.slice(1);
const percent = (value) => `${(100 * value).toFixed(1)} %`;
const words = (name) => {
  const [kind, value] = name.split("_");
  return value ? `${kind} ${value}` : kind === "youden" ? "Youden's" : kind;
};

async function ask(path, files) {
  const request = { headers: token ? { Authorization: `Bearer ${token}` } : {} };
  if (files) {
    request.method = "POST";
    request.body = new FormData();
    for (const file of files) request.body.append("files", file, file.name);
  }
  let answer;
  try {
    answer = await fetch(path, request);
  } catch {
    throw failure("service", "does not answer", "Check that it is running");
  }
  const body = await answer.json();
  if (answer.status === 401) at("token-form").hidden = false;
  if (!answer.ok) throw body;
  return body;
}

function showRefusal(refusal) {
  const lines = (refusal.reasons || []).map((reason) => `${reason.meaning} (${reason.code}).`);
  for (const problem of refusal.problems || []) lines.push(`${problem.field}: ${problem.what}. ${problem.remedy}`);
  if (!lines.length) lines.push(String(refusal));
  at("problems").replaceChildren(...lines.map((line) => make("li", sentence(line))));
  at("refusal").hidden = false;
}

async function showModel() {
  about = await ask("/model");
  at("token-form").hidden = true;
  at("notice").replaceChildren(make("strong", "For research only."), about.notice.replace(/^For research only\./, ""));
  at("model").textContent = `Model ${about.model}, preprocessing settings ${about.fingerprint.slice(0, 12)}.`;
  at("calibration").textContent = about.calibration_note;
}

function cutCell(cut, score) {
  const call = score.calls.find((one) => one.threshold === cut);
  const cell = make("td", "none", { "data-name": words(cut) });
  if (call) {
    cell.textContent = call.positive ? `above ${percent(call.value)}` : `below ${percent(call.value)}`;
    if (call.positive) cell.className = "above";
  }
  return cell;
}

function scoreRow(score, cuts) {
  const row = document.createElement("tr");
  row.append(make("th", score.target, { scope: "row" }));
  const number = make("td", "", { class: "number" });
  if (score.probability === null) number.textContent = score.value.toPrecision(4);
  else {
    const label = `Probability of ${score.target}`;
    number.append(make("meter", "", { min: 0, max: 1, value: score.probability, "aria-label": label }), percent(score.probability));
  }
  row.append(number, ...cuts.map((cut) => cutCell(cut, score)));
  if (about.explains) {
    const button = make("button", "Explain", { type: "button", class: "quiet", "aria-label": `Explain the score of ${score.target}` });
    button.addEventListener("click", () => look(score.target, button));
    const cell = document.createElement("td");
    cell.append(button);
    row.append(cell);
  }
  return row;
}

function showScores(answer) {
  const cuts = [...new Set(about.targets.flatMap((target) => target.thresholds.map((cut) => cut.name)))];
  const head = document.createElement("tr");
  const titles = ["Finding", about.kind === "regression" ? "Value" : "Probability", ...cuts.map((cut) => `At ${words(cut)}`)];
  head.append(...titles.map((title) => make("th", title, { scope: "col" })));
  if (about.explains) head.append(make("th", "Attribution", { scope: "col" }));
  at("scores-head").replaceChildren(head);
  at("scores").replaceChildren(...answer.scores.map((score) => scoreRow(score, cuts)));
  at("thresholds-note").hidden = !cuts.length;
  at("predicted").hidden = !answer.predicted;
  at("predicted").textContent = answer.predicted ? `Most probable: ${answer.predicted}.` : "";
}

function showQuality(recording) {
  const rate = recording.heart_rate === null ? "heart rate not measured" : `heart rate ${Math.round(recording.heart_rate)} per minute`;
  const length = `${recording.duration.toFixed(1)} s at ${recording.sampling_rate} Hz`;
  const short = recording.recorded_seconds < about.duration ? ` (the model's window has ${about.duration} s; the missing time is left out)` : "";
  at("facts").textContent = `${length}${short}; ${rate}; leads used by the model: ${recording.leads.join(", ")}.`;
  const byCode = new Map();
  for (const finding of recording.findings) {
    if (!byCode.has(finding.code)) byCode.set(finding.code, { meaning: finding.meaning, leads: [] });
    if (finding.lead) byCode.get(finding.code).leads.push(finding.lead);
  }
  const lines = [...byCode.values()].map((one) => sentence(one.meaning) + (one.leads.length ? `: ${one.leads.join(", ")}.` : "."));
  at("findings").replaceChildren(...(lines.length ? lines : ["No quality findings."]).map((line) => make("li", line)));
}

async function score(files) {
  if (!files.length) return;
  const mine = ++requestNumber;
  chosen = [...files];
  at("result").hidden = at("refusal").hidden = at("looked").hidden = true;
  at("state").textContent = "Reading and scoring.";
  try {
    if (!about) await showModel();
    if (about.kind === "encoder") throw failure("model", "is an encoder and gives no scores", "Use POST /embed");
    const answer = await ask(`/view?narrow=${narrow()}`, chosen);
    if (mine !== requestNumber) return;
    showScores(answer);
    showQuality(answer.recording);
    at("drawing").src = answer.drawing;
    at("drawing").alt = "12-lead ECG of the raw recording on millimetre paper. Speed, gain and heart rate are printed below the traces.";
    at("result").hidden = false;
    at("state").textContent = "Scored.";
  } catch (refusal) {
    if (mine !== requestNumber) return;
    showRefusal(refusal);
    at("state").textContent = "";
  }
}

async function look(target, button) {
  const mine = requestNumber;
  button.disabled = true;
  at("state").textContent = `Computing the attribution of ${target}.`;
  try {
    const answer = await ask(`/explain?target=${encodeURIComponent(target)}&narrow=${narrow()}`, chosen);
    if (mine !== requestNumber) return;
    at("looked-title").textContent = `Attribution of ${target}`;
    at("looked-words").textContent = answer.in_words;
    at("looked-drawing").src = answer.drawing;
    at("looked-drawing").alt = `12-lead ECG with marks under the trace. ${answer.in_words}`;
    at("looked").hidden = false;
    at("looked").scrollIntoView({ block: "start" });
    at("state").textContent = "";
  } catch (refusal) {
    if (mine === requestNumber) showRefusal(refusal);
  } finally {
    button.disabled = false;
  }
}

at("files").addEventListener("change", (event) => score(event.target.files));
at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value;
  at("refusal").hidden = true;
  showModel().catch(showRefusal);
});
for (const name of ["dragenter", "dragover"]) document.addEventListener(name, (event) => { event.preventDefault(); at("drop").classList.add("over"); });
for (const name of ["dragleave", "drop"]) document.addEventListener(name, () => at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => { event.preventDefault(); score(event.dataTransfer.files); });
showModel().catch((refusal) => { if (at("token-form").hidden) showRefusal(refusal); });
