"""Export of models: bundle, ONNX graphs, model card, MLflow model."""
