"""What an operator does with a whole vault: diagnosis, repair, restoring, moving in and moving on."""
