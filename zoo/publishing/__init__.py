"""From a training run to a released folder, its card, its copies, and their verification."""
