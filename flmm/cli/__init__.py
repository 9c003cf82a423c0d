"""The command ``flmm``. Its modules import what is heavy inside of functions, so that help is there at once."""
