"""The parts of every transformer here: attention with its cache, feed-forward layers, search for a sequence."""
