"""What tests and the demo run ganger against. Nothing else imports it."""
