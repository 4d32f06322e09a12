// Score a raw recording with a bundle of ecgssl and the C++ API of onnxruntime.
//
//   g++ -std=c++17 -I ONNXRUNTIME/include score.cpp -L ONNXRUNTIME/lib -lonnxruntime -o score
//   ./score BUNDLE recording.csv SAMPLING_RATE
//
// The CSV file has lead names in the first line and one sample per lead, in mV and unfiltered, in each other line. Lead
// names may have any spelling listed in lead_names.json of the bundle. Pass the sampling rate in Hz. The output has one
// line per target, in the order of labels.json.

#include <cmath>
#include <cstdint>
#include <iostream>

#include <onnxruntime_cxx_api.h>

#include "recording.hpp"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: score BUNDLE recording.csv SAMPLING_RATE\n";
    return 2;
  }
  try {
    const std::string bundle = argv[1], graph = bundle + "/classifier.raw-" + argv[3] + ".onnx";
    if (!std::ifstream(graph))
      throw std::runtime_error("no graph " + graph + ". Export one with export.raw_rates");
    Inputs recording = read_inputs(bundle, argv[2]);
    const auto leads = static_cast<int64_t>(recording.leads), samples = static_cast<int64_t>(recording.samples);

    Ort::Env env(ORT_LOGGING_LEVEL_WARNING, "ecgssl");
    Ort::Session session(env, graph.c_str(), Ort::SessionOptions{});
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const std::array<int64_t, 3> ecg_shape{1, leads, samples};
    const std::array<int64_t, 2> mask_shape{1, leads};
    std::array<Ort::Value, 2> inputs{
        Ort::Value::CreateTensor<float>(memory, recording.ecg.data(), recording.ecg.size(), ecg_shape.data(), 3),
        Ort::Value::CreateTensor<bool>(memory, recording.mask.data(), recording.leads, mask_shape.data(), 2)};
    const std::array<const char*, 2> input_names{"ecg", "lead_mask"};
    const std::array<const char*, 1> output_names{"probability"};
    const auto outputs = session.Run(Ort::RunOptions{}, input_names.data(), inputs.data(), inputs.size(),
                                     output_names.data(), output_names.size());
    const float* probability = outputs[0].GetTensorData<float>();
    for (size_t k = 0; k < outputs[0].GetTensorTypeAndShapeInfo().GetElementCount(); ++k) {
      if (!std::isfinite(probability[k])) throw std::runtime_error("the recording is too short for the model");
      std::cout << probability[k] << '\n';
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
