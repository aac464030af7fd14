"""The parts of the dashboard: each a function of the scene, with an empty, a loading and an error state."""
