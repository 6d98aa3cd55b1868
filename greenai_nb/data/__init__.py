"""Images with their labels, source and checksum; nothing touches the network unless asked."""
