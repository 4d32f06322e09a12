"""Export of trained models to bundles with weights, ONNX graphs, a torch.export program and a model card."""
