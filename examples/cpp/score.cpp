// Score a raw recording with the graph of a bundle and the C++ API of onnxruntime.
//
//   g++ -std=c++17 -I ONNXRUNTIME/include score.cpp -L ONNXRUNTIME/lib -lonnxruntime -o score
//   ./score exports/classifier/classifier.raw-500.onnx < recording.f32
//
// Standard input: float32, mV, unfiltered, at the sampling rate of the graph, 12 leads one after the other in the order
// I II III aVR aVL aVF V1 ... V6, all present. To mark a lead as missing, set its mask to 0; its values are then ignored.

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <vector>

#include <onnxruntime_cxx_api.h>

int main(int argc, char** argv) {
  constexpr int64_t kLeads = 12;
  if (argc != 2) {
    std::cerr << "usage: score GRAPH < recording.f32\n";
    return 2;
  }
  std::vector<float> ecg;
  std::array<float, 4096> block{};
  while (const size_t read = std::fread(block.data(), sizeof(float), block.size(), stdin))
    ecg.insert(ecg.end(), block.begin(), block.begin() + read);
  const int64_t samples = static_cast<int64_t>(ecg.size()) / kLeads;
  std::array<bool, kLeads> mask;
  mask.fill(true);

  Ort::Env env(ORT_LOGGING_LEVEL_WARNING, "ecgssl");
  Ort::Session session(env, argv[1], Ort::SessionOptions{});
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const std::array<int64_t, 3> ecg_shape{1, kLeads, samples};
  const std::array<int64_t, 2> mask_shape{1, kLeads};
  std::array<Ort::Value, 2> inputs{
      Ort::Value::CreateTensor<float>(memory, ecg.data(), kLeads * samples, ecg_shape.data(), ecg_shape.size()),
      Ort::Value::CreateTensor<bool>(memory, mask.data(), mask.size(), mask_shape.data(), mask_shape.size())};
  const std::array<const char*, 2> input_names{"ecg", "lead_mask"};
  const std::array<const char*, 1> output_names{"probability"};
  const auto outputs = session.Run(Ort::RunOptions{}, input_names.data(), inputs.data(), inputs.size(),
                                   output_names.data(), output_names.size());
  const float* probability = outputs[0].GetTensorData<float>();
  for (size_t k = 0; k < outputs[0].GetTensorTypeAndShapeInfo().GetElementCount(); ++k) {
    // the recording is too short, or a present lead has a value that is not a number
    if (!std::isfinite(probability[k])) return 1;
    std::cout << probability[k] << '\n';
  }
}
