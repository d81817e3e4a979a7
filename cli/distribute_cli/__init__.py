"""The command line: `distribute`."""

from distribute.import_path import leave_out_current_folder

leave_out_current_folder()
