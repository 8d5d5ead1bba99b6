"""The built-in synthetic world: a tiny model and generated data, so that a whole run works on any machine."""
