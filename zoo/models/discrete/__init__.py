"""Systems whose data are integers with a probability each."""
