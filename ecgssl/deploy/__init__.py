"""Models on their way to use: the bundle, its ONNX graph, scoring of files and of signals in memory."""
