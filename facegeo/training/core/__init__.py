"""Parts of a training of any task: settings, checkpoints, the folder of a run, processes."""
