"""The compiled accept-reject chain for networks with one hidden layer."""
