"""monitoring: what operators see and steer."""
