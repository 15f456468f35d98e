"""Where frames go: sockets, OSC, files."""
