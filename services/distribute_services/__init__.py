"""The services: each consumes events, calls one pure function, and appends the events that it returns."""

from distribute.import_path import leave_out_current_folder

leave_out_current_folder()
