"""HTTP/1.1 as bytes: heads in, responses out. No I/O."""
