"""Not yet filled."""
