"""What knows no session: time, the disk, bounded memory, laziness, threads, measurements."""
