"""The command `fanfold`: one file per group of commands, assembled in `main.py`."""
