"""What each batch slot of a static or dynamic batch computes in every run of the model."""
