from hypothesis import settings

# An example may take long on a busy machine; how long says nothing of what is tested.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
