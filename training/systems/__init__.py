"""What each network needs around it to be trained: its inputs, its draws, its loss terms."""
