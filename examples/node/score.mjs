// Score one raw recording with a bundle of ecgssl. The graph contains cleaning, resampling and normalisation.
//
//   npm install --ignore-scripts
//   node score.mjs BUNDLE RECORDING [SAMPLING_RATE]
//
// RECORDING is JSON {"sampling_rate": 500, "leads": ["I", ...], "signal": [[mV, ...], ...]}, one array per lead, or CSV with
// lead names in the first line and one sample per lead, in mV, in each other line. For CSV, pass SAMPLING_RATE in Hz.

import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import * as ort from "onnxruntime-node";

// The limb leads as combinations of I and II (Einthoven, Goldberger).
const LIMB = { I: [1, 0], II: [0, 1], III: [-1, 1], aVR: [-0.5, -0.5], aVL: [1, -0.5], aVF: [-0.5, 1] };

function readRecording(file, rate) {
  const text = readFileSync(file, "utf8");
  if (file.endsWith(".json")) {
    const { sampling_rate, leads, signal } = JSON.parse(text);
    return { rate: sampling_rate, rows: Object.fromEntries(leads.map((lead, i) => [lead, signal[i]])) };
  }
  const [head, ...lines] = text.trim().split(/\r?\n/);
  const samples = lines.map((line) => line.split(",").map((cell) => (cell.trim() === "" ? NaN : Number(cell))));
  const rows = head.split(",").map((lead, i) => [lead.trim(), samples.map((cells) => cells[i])]);
  return { rate: Number(rate), rows: Object.fromEntries(rows) };
}

// Derive missing limb leads from two others, as in training and in the Python pipeline.
function deriveLimbLeads(rows) {
  const present = Object.keys(LIMB).filter((lead) => lead in rows);
  if (present.length < 2 || present.length === 6) return rows;
  const [p, q] = present;
  const [[a, b], [c, d]] = [LIMB[p], LIMB[q]];
  const det = a * d - b * c;
  const out = { ...rows };
  for (const lead of Object.keys(LIMB)) {
    if (lead in rows) continue;
    const [u, v] = LIMB[lead];
    const [wp, wq] = [(u * d - v * c) / det, (v * a - u * b) / det];
    out[lead] = rows[p].map((x, i) => wp * x + wq * rows[q][i]);
  }
  return out;
}

function inputs(recording, contract) {
  const rows = deriveLimbLeads(recording.rows);
  const lengths = new Set(Object.values(rows).map((row) => row.length));
  if (lengths.size !== 1) throw new Error("leads have different lengths");
  const [samples] = lengths;
  if (samples < contract.duration * recording.rate) throw new Error(`too short: the model needs ${contract.duration} s`);
  const ecg = new Float32Array(contract.leads.length * samples);
  const mask = new Uint8Array(contract.leads.length);
  contract.leads.forEach((lead, i) => {
    if (!(lead in rows)) return;
    if (!rows[lead].every(Number.isFinite)) throw new Error(`lead ${lead} has a value that is not a number`);
    ecg.set(rows[lead], i * samples);
    mask[i] = 1;
  });
  return {
    ecg: new ort.Tensor("float32", ecg, [1, contract.leads.length, samples]),
    lead_mask: new ort.Tensor("bool", mask, [1, contract.leads.length]),
  };
}

const [bundle, file, rate] = process.argv.slice(2);
const contract = JSON.parse(readFileSync(path.join(bundle, "signal.json"), "utf8"));
const recording = readRecording(file, rate);
const graph = readdirSync(bundle).find((name) => name.endsWith(`.raw-${recording.rate}.onnx`));
if (!graph) throw new Error(`the bundle has no graph for ${recording.rate} Hz. Export one with export.raw_rates`);
const session = await ort.InferenceSession.create(path.join(bundle, graph));
const found = await session.run(inputs(recording, contract));
const result = { embedding: Array.from(found.embedding.data) };
if (graph.startsWith("classifier")) {
  const { kind, targets, decision } = JSON.parse(readFileSync(path.join(bundle, "labels.json"), "utf8"));
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
