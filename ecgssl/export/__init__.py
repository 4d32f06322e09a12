"""Export of models to bundles: weights, ONNX graphs, torch.export program and model card."""
