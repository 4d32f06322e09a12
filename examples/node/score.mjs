// Score one raw recording with a bundle of ecgssl. The graph contains cleaning, resampling and normalisation.
//
//   npm install --ignore-scripts
//   node score.mjs BUNDLE RECORDING [SAMPLING_RATE]
//
// RECORDING is JSON {"sampling_rate": 500, "leads": ["I", ...], "signal": [[mV, ...], ...]}, one array per lead, or CSV with
// lead names in the first line and one sample per lead, in mV, in each other line. For CSV, pass SAMPLING_RATE in Hz.
// Lead names may have any spelling listed in lead_names.json of the bundle.

import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import * as ort from "onnxruntime-node";

// Clinical order: the first two present limb leads determine the others, as in the Python pipeline.
const LIMB_ORDER = ["I", "II", "III", "aVR", "aVL", "aVF"];

function readRecording(file, rate) {
  const text = readFileSync(file, "utf8");
  if (file.endsWith(".json")) {
    const { sampling_rate, leads, signal } = JSON.parse(text);
    return { rate: sampling_rate, leads, signal };
  }
  const [head, ...lines] = text.trim().split(/\r?\n/);
  const samples = lines.map((line) => line.split(",").map((cell) => (cell.trim() === "" ? NaN : Number(cell))));
  const leads = head.split(",");
  return { rate: Number(rate), leads, signal: leads.map((_, i) => samples.map((cells) => cells[i])) };
}

// Return the rows by canonical lead name. The names of the bundle are those that ecgssl accepts.
function nameRows({ leads, signal }, names) {
  if (leads.length !== signal.length) throw new Error(`${leads.length} lead names for ${signal.length} rows`);
  const known = new Map(Object.entries(names));
  const found = leads.map((lead) => known.get(String(lead).trim().toLowerCase()));
  const unknown = leads.filter((_, i) => found[i] === undefined).map((lead) => JSON.stringify(lead));
  if (unknown.length) {
    throw new Error(
      `unknown lead names: ${unknown.join(", ")}. Use I, II, III, aVR, aVL, aVF, V1 to V6, or remove these rows`,
    );
  }
  const rows = {};
  found.forEach((name, i) => {
    // a leading minus marks a lead that is stored inverted
    const lead = name.replace(/^-/, "");
    if (lead in rows) throw new Error(`lead ${lead} occurs twice`);
    rows[lead] = name.startsWith("-") ? signal[i].map((x) => (x === null ? x : -x)) : signal[i];
  });
  return rows;
}

// Derive missing limb leads from two others (Einthoven, Goldberger), as in training and in the Python pipeline.
function deriveLimbLeads(rows, limb) {
  const present = LIMB_ORDER.filter((lead) => lead in rows);
  if (present.length < 2 || present.length === 6) return rows;
  const [p, q] = present;
  const [[a, b], [c, d]] = [limb[p], limb[q]];
  const det = a * d - b * c;
  const out = { ...rows };
  for (const lead of LIMB_ORDER) {
    if (lead in rows) continue;
    const [u, v] = limb[lead];
    const [wp, wq] = [(u * d - v * c) / det, (v * a - u * b) / det];
    out[lead] = rows[p].map((x, i) => wp * x + wq * rows[q][i]);
  }
  return out;
}

function inputs(recording, contract, shortest, { names, limb }) {
  const rows = deriveLimbLeads(nameRows(recording, names), limb);
  const lengths = new Set(Object.values(rows).map((row) => row.length));
  if (lengths.size !== 1) throw new Error("leads have different lengths");
  const [samples] = lengths;
  if (samples < shortest * recording.rate) throw new Error(`too short: the model needs ${shortest} s`);
  const ecg = new Float32Array(contract.leads.length * samples);
  const mask = new Uint8Array(contract.leads.length);
  contract.leads.forEach((lead, i) => {
    if (!(lead in rows)) return;
    if (!rows[lead].every(Number.isFinite)) throw new Error(`lead ${lead} has a value that is not a number`);
    ecg.set(rows[lead], i * samples);
    mask[i] = 1;
  });
  if (!mask.includes(1)) {
    throw new Error(`no lead of the model is in the recording. The model uses ${contract.leads.join(", ")}`);
  }
  return {
    ecg: new ort.Tensor("float32", ecg, [1, contract.leads.length, samples]),
    lead_mask: new ort.Tensor("bool", mask, [1, contract.leads.length]),
  };
}

const [bundle, file, rate] = process.argv.slice(2);
const readJson = (name) => JSON.parse(readFileSync(path.join(bundle, name), "utf8"));
const contract = readJson("signal.json");
const recording = readRecording(file, rate);
const graph = readdirSync(bundle).find((name) => name.endsWith(`.raw-${recording.rate}.onnx`));
if (!graph) throw new Error(`the bundle has no graph for ${recording.rate} Hz. Export one with export.raw_rates`);
// bundles of earlier releases state no shortest duration and take complete recordings only
const { min_duration = contract.duration } = readJson("config.json").quality;
const session = await ort.InferenceSession.create(path.join(bundle, graph));
const found = await session.run(inputs(recording, contract, Math.min(min_duration, contract.duration), readJson("lead_names.json")));
const result = { embedding: Array.from(found.embedding.data) };
if (graph.startsWith("classifier")) {
  const { kind, targets, decision } = readJson("labels.json");
  const score = found[kind === "regression" ? "value" : "probability"].data;
  result.scores = Object.fromEntries(targets.map((name, i) => [name, score[i]]));
  result.calls = Object.fromEntries(
    decision.labels.map(({ name, thresholds }) => [
      name,
      Object.fromEntries(
        Object.entries(thresholds)
          .filter(([, threshold]) => threshold.value !== null)
          .map(([threshold, { value }]) => [threshold, result.scores[name] >= value]),
      ),
    ]),
  );
}
console.log(JSON.stringify(result));
