"""What a training of any task needs: settings, checkpoints, the folder of a run, processes."""
