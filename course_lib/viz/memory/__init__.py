"""Block tables beside physical memory. The timeline shows the same below its requests."""
