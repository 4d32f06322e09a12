// Read a recording from a CSV file into the inputs of a raw graph. Needs only the C++17 standard library.

#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// Clinical order: the first two present limb leads determine the others, as in the Python pipeline.
const std::array<std::string, 6> kLimb{"I", "II", "III", "aVR", "aVL", "aVF"};
// Each limb lead as a weighted sum of leads I and II (Einthoven, Goldberger).
constexpr std::array<std::array<double, 2>, 6> kWeights{{{1, 0}, {0, 1}, {-1, 1}, {-.5, -.5}, {1, -.5}, {-.5, 1}}};
constexpr size_t kMostLeads = 12;

using Rows = std::map<std::string, std::vector<float>>;

struct Inputs {
  std::vector<float> ecg;               // (leads, samples) in mV; leads that are missing are 0
  std::array<bool, kMostLeads> mask{};  // whether each lead is present
  size_t leads = 0;
  size_t samples = 0;
};

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Return the strings between `open` and `close` after "key" in a JSON file of a bundle. Keys and values alternate in an
// object of strings. This reads only the plain files signal.json and lead_names.json; use a JSON library for others.
inline std::vector<std::string> json_strings(const std::string& path, const std::string& key, char open, char close) {
  const std::string text = read_text(path);
  const size_t found = text.find('"' + key + '"');
  const size_t from = found == std::string::npos ? found : text.find(open, found);
  const size_t to = from == std::string::npos ? from : text.find(close, from);
  if (to == std::string::npos || text.find('\\', from) < to) throw std::runtime_error(path + ": cannot read " + key);
  std::vector<std::string> strings;
  for (size_t start = text.find('"', from); start < to;) {
    const size_t end = text.find('"', start + 1);
    strings.push_back(text.substr(start + 1, end - start - 1));
    start = text.find('"', end + 1);
  }
  return strings;
}

inline std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells(1);
  for (const char c : line) {
    if (c == ',') cells.emplace_back();
    else if (c != '\r') cells.back() += c;
  }
  return cells;
}

inline std::string trimmed(const std::string& text) {
  const size_t from = text.find_first_not_of(" \t"), to = text.find_last_not_of(" \t");
  return from == std::string::npos ? "" : text.substr(from, to - from + 1);
}

// Return the canonical name of each column; a leading minus marks a lead that is stored inverted.
inline std::vector<std::string> lead_names(const std::vector<std::string>& columns, const std::string& bundle) {
  const auto pairs = json_strings(bundle + "/lead_names.json", "names", '{', '}');
  std::map<std::string, std::string> known;
  for (size_t i = 0; i + 1 < pairs.size(); i += 2) known[pairs[i]] = pairs[i + 1];
  std::vector<std::string> names;
  std::string unknown;
  for (const auto& column : columns) {
    std::string name = trimmed(column);
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    const auto found = known.find(name);
    if (found == known.end()) unknown += (unknown.empty() ? "\"" : ", \"") + column + '"';
    else names.push_back(found->second);
  }
  if (!unknown.empty())
    throw std::runtime_error("unknown lead names: " + unknown +
                             ". Use I, II, III, aVR, aVL, aVF, V1 to V6, or remove these columns");
  return names;
}

// Read lead names from the first line and one sample in mV per lead from each other line; an empty cell is no number.
inline Rows read_csv(const std::string& path, const std::string& bundle) {
  std::istringstream text(read_text(path));
  std::string line;
  std::getline(text, line);
  const auto names = lead_names(split(line), bundle);
  std::vector<std::vector<float>> columns(names.size());
  for (size_t number = 2; std::getline(text, line); ++number) {
    if (trimmed(line).find_first_not_of('\r') == std::string::npos) continue;
    const auto cells = split(line);
    if (cells.size() != names.size())
      throw std::runtime_error("line " + std::to_string(number) + " has " + std::to_string(cells.size()) +
                               " cells for " + std::to_string(names.size()) + " leads");
    for (size_t i = 0; i < cells.size(); ++i) {
      const std::string cell = trimmed(cells[i]);
      char* end = nullptr;
      const float value = std::strtof(cell.c_str(), &end);
      columns[i].push_back(cell.empty() || *end != '\0' ? NAN : value);
    }
  }
  Rows rows;
  for (size_t i = 0; i < names.size(); ++i) {
    const bool inverted = names[i][0] == '-';
    const std::string lead = names[i].substr(inverted);
    if (rows.count(lead)) throw std::runtime_error("lead " + lead + " occurs twice");
    for (float& value : columns[i]) {
      if (!std::isfinite(value)) throw std::runtime_error("lead " + lead + " has a value that is not a number");
      if (inverted) value = -value;
    }
    rows[lead] = std::move(columns[i]);
  }
  return rows;
}

// Add missing limb leads, computed from two others, as in training and in the Python pipeline.
inline void derive_limb_leads(Rows& rows) {
  std::vector<size_t> present;
  for (size_t i = 0; i < kLimb.size(); ++i)
    if (rows.count(kLimb[i])) present.push_back(i);
  if (present.size() < 2) return;
  const auto [a, b] = kWeights[present[0]];
  const auto [c, d] = kWeights[present[1]];
  const double det = a * d - b * c;
  const auto p = rows[kLimb[present[0]]], q = rows[kLimb[present[1]]];
  for (size_t i = 0; i < kLimb.size(); ++i) {
    if (rows.count(kLimb[i])) continue;
    const auto [u, v] = kWeights[i];
    auto& row = rows[kLimb[i]];
    for (size_t t = 0; t < p.size(); ++t)
      row.push_back(static_cast<float>((u * d - v * c) / det * p[t] + (v * a - u * b) / det * q[t]));
  }
}

// Return the inputs of the raw graphs of a bundle for a CSV file. Throws std::runtime_error if the file cannot be used.
inline Inputs read_inputs(const std::string& bundle, const std::string& csv) {
  Rows rows = read_csv(csv, bundle);
  derive_limb_leads(rows);
  const auto leads = json_strings(bundle + "/signal.json", "leads", '[', ']');
  if (leads.empty() || leads.size() > kMostLeads) throw std::runtime_error("signal.json has an unknown lead set");
  Inputs inputs;
  inputs.leads = leads.size();
  inputs.samples = rows.begin()->second.size();
  inputs.ecg.assign(inputs.leads * inputs.samples, 0.0f);
  for (size_t i = 0; i < leads.size(); ++i) {
    const auto row = rows.find(leads[i]);
    inputs.mask[i] = row != rows.end();
    if (inputs.mask[i]) std::copy(row->second.begin(), row->second.end(), inputs.ecg.begin() + i * inputs.samples);
  }
  if (std::none_of(inputs.mask.begin(), inputs.mask.end(), [](bool present) { return present; }))
    throw std::runtime_error("no lead of the model is in the recording");
  return inputs;
}
