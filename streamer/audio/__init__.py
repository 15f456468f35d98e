"""Audio sources: microphone, files, the bundled demo."""
