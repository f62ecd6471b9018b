"""The reference motion model: an LSTM variational autoencoder."""
