"""What each program of a kernel loads and stores."""
