"""Store of preprocessed recordings on disk: file layout, reader and hashed patient ids."""
