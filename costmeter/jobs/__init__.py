"""What is done by the clock: the jobs, and the scheduler that runs each once however many schedulers there are."""
