"""What all tests begin with."""

import signal

# Whoever starts the tests in the background of a shell script has them, and all that they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
