"""What the learner has done, and the code they wrote."""
