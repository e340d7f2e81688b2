"""What is put inside the process of a test runner: it is read from here, outside every tree that is checked."""
