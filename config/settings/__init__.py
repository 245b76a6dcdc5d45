"""Settings of Lurker: `local` for development and the demo, `test`, `types`, `production`.

All share `base`, which reads the environment. The others say where a value comes from that the
environment does not give, and how strict to be.
"""
