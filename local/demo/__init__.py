"""`make demo`: all of Lurker on one machine, collecting from the bundled simulator."""
