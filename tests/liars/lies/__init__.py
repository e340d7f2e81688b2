"""The verifier's own test bench: operators that turn honest work into lies, and what the verifier says of each."""
