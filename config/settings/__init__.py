"""Settings of Lurker: `local` for development and the demo, `test`, `types`, `production`.

All of them import `base`, which reads the environment. Each of the others provides values for
variables that are not set, and decides how strict to be.
"""
