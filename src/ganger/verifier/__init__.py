"""What makes a check believable: where its rules come from, which tests ran, and what a candidate did to them."""
