"""The parts of `streamer.server`: pages, flow control, viewers, avatars, sessions."""
