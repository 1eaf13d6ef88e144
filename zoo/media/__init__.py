"""Pictures, sounds, plots and tables, in and out of files and terminals."""
